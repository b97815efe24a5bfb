// New connections go to all endpoints.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const clusterIpSpread: ConformanceCase = {
  id: "cluster-ip-spread",
  name: "connections to a ClusterIP spread over all endpoints, on every node",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const service = await stage.service({ endpoints: stage.pods });
    const all = answeredBy(stage.pods, { every: true });
    for (const node of stage.nodes) {
      const [client = stage.pod(0)] = node.pods;
      await stage.claim(
        `every endpoint answers TCP on ${node.name}`,
        client,
        service.at("tcp"),
        all,
      );
      await stage.claim(
        `every endpoint answers UDP on ${node.name}`,
        client,
        service.at("udp"),
        all,
      );
    }
  },
};

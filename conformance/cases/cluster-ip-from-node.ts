// Processes on nodes use Services too, and pods in the node's network can be endpoints.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const clusterIpFromNode: ConformanceCase = {
  id: "cluster-ip-from-node",
  name: "a process on each node reaches a ClusterIP whose endpoints are pods, here and elsewhere",
  families: "each",
  needs: { pods: 2, hosts: true },
  async run(stage) {
    const service = await stage.service({ endpoints: stage.pods });
    const all = answeredBy(stage.pods, { every: true });
    for (const node of stage.nodes) {
      const host = stage.host(node);
      await stage.claim(`TCP from node ${node.name}`, host, service.at("tcp"), all);
      await stage.claim(`UDP from node ${node.name}`, host, service.at("udp"), all);
    }
  },
};

// ClusterIP over TCP and HTTP, from a pod: translated, and not masqueraded.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const clusterIpTcp: ConformanceCase = {
  id: "cluster-ip-tcp",
  name: "a pod reaches a ClusterIP over TCP and HTTP, and the server sees the pod's own address",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const others = stage.pods.filter((pod) => pod !== client);
    const service = await stage.service({ endpoints: others });
    const seen = answeredBy(others, { client: stage.address(client) });
    await stage.claim("TCP is answered", client, service.at("tcp"), seen);
    await stage.claim("HTTP is answered", client, service.at("http"), seen);
  },
};

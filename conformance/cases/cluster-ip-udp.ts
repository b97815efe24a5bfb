// ClusterIP over UDP: the same number as a TCP port, and a flow of its own.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const clusterIpUdp: ConformanceCase = {
  id: "cluster-ip-udp",
  name: "a pod reaches a ClusterIP over UDP on a port number that TCP uses too",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const others = stage.pods.filter((pod) => pod !== client);
    const service = await stage.service({ endpoints: others });
    const seen = answeredBy(others, { client: stage.address(client) });
    await stage.claim("UDP is answered", client, service.at("udp"), seen);
    await stage.claim("TCP is answered", client, service.at("tcp"), seen);
  },
};

// A live ClusterIP refuses what it does not serve, so that clients need not wait.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";
import { unusedPort } from "../staged-service.ts";

export const clusterIpUnusedPort: ConformanceCase = {
  id: "cluster-ip-unused-port",
  name: "a port that a live ClusterIP does not serve is refused, over TCP and UDP",
  families: "each",
  needs: { pods: 2, notIptables: true },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const service = await stage.service({ endpoints: [server] });
    await stage.claim("a used port", client, service.at("tcp"), answeredBy([server]));
    const tcp = { ...service.at("tcp"), port: unusedPort };
    const udp = { ...service.at("udp"), port: unusedPort };
    await stage.claim("an unused TCP port", client, tcp, refused);
    await stage.claim("an unused UDP port", client, udp, refused);
  },
};

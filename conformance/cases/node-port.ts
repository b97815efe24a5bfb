// NodePort: every node answers for all endpoints, to whoever asks.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";

export const nodePort: ConformanceCase = {
  id: "node-port",
  name: "every node answers a NodePort for all endpoints, to pods, over TCP and UDP",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const service = await stage.service({ endpoints: stage.pods, spec: { type: "NodePort" } });
    const client = stage.pod(0);
    const all = answeredBy(stage.pods, { every: true });
    for (const { name, address } of stage.nodes) {
      for (const port of ["tcp", "udp"] as const) {
        const target = service.nodePort(address, port);
        await stage.claim(`${port} on node ${name}`, client, target, all);
      }
    }
    await stage.claim("its ClusterIP answers too", client, service.at("tcp"), all);
    const freed = service.nodePort(stage.node(0).address, "tcp");
    await service.patch({ spec: { type: "ClusterIP" } });
    await stage.claim("without NodePort it is refused", client, freed, refused);
  },
};

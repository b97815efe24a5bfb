// NodePort from the nodes themselves and from outside.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const nodePortFromNode: ConformanceCase = {
  id: "node-port-from-node",
  name: "a node answers a NodePort to its own processes, to other nodes and to the outside",
  families: "each",
  needs: { pods: 2, hosts: true },
  async run(stage) {
    const service = await stage.service({ endpoints: stage.pods, spec: { type: "NodePort" } });
    const all = answeredBy(stage.pods, { every: true });
    const node = stage.node(0);
    for (const client of [stage.host(node), ...stage.strangersTo(node)]) {
      for (const port of ["tcp", "udp"] as const) {
        const target = service.nodePort(node.address, port);
        await stage.claim(`${port} from ${client.name}`, client, target, all);
      }
    }
  },
};

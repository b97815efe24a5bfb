// The same over a NodePort, where the flow is keyed by port alone.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const udpNodePortReplaced: ConformanceCase = {
  id: "udp-node-port-replaced",
  name: "a UDP flow through a NodePort follows the endpoint that replaces its own",
  families: "each",
  needs: { pods: 3, hosts: true },
  async run(stage) {
    const node = stage.node(0);
    const [first, second] = [stage.pod(1), stage.pod(2)];
    const service = await stage.service({ endpoints: [first], spec: { type: "NodePort" } });
    for (const client of stage.strangersTo(node).slice(0, 1)) {
      const flow = { ...service.nodePort(node.address, "udp"), sourcePort: 21_003 };
      await stage.claim("the first endpoint", client, flow, answeredBy([first]));
      await service.select([second]);
      await stage.claim("its replacement", client, flow, answeredBy([second]));
    }
  },
};

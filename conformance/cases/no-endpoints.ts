// A Service without endpoints says so at once, on every entry point.

import type { ConformanceCase } from "../case.ts";
import { refused } from "../expectation.ts";

export const noEndpoints: ConformanceCase = {
  id: "no-endpoints",
  name: "a Service without endpoints is refused, not dropped: ClusterIP and NodePort, TCP and UDP",
  families: "each",
  needs: {},
  async run(stage) {
    const client = stage.pod(0);
    const node = stage.node(0);
    const service = await stage.service({ endpoints: [], spec: { type: "NodePort" } });
    for (const port of ["tcp", "udp"] as const) {
      await stage.claim(`ClusterIP, ${port}`, client, service.at(port), refused);
      await stage.claim(`NodePort, ${port}`, client, service.nodePort(node.address, port), refused);
    }
  },
};

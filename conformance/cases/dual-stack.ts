// Dual stack: two ClusterIPs, each served by endpoints of its own family.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";
import { apiFamily } from "../staged-service.ts";

export const dualStack: ConformanceCase = {
  id: "dual-stack",
  name: "a dual-stack Service answers on both ClusterIPs, and servers see clients of that family",
  families: "both",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const { families } = stage.facts;
    const service = await stage.service({
      endpoints: [server],
      spec: { ipFamilyPolicy: "RequireDualStack", ipFamilies: families.map(apiFamily) },
    });
    for (const family of families) {
      const seen = answeredBy([server], { client: stage.address(client, family) });
      for (const port of ["tcp", "udp"] as const) {
        const words = `${port} over ${apiFamily(family)}`;
        await stage.claim(words, client, service.on(service.vip(family), port), seen);
      }
    }
  },
};

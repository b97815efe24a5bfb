// The fall-back to terminating endpoints counts per policy set, not per Service.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const terminatingLocal: ConformanceCase = {
  id: "terminating-local",
  name: "with externalTrafficPolicy Local a node whose endpoints all terminate uses those",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const [leaving = stage.pod(0)] = near.pods;
    const [elsewhere = stage.pod(1)] = far.pods;
    const service = await stage.service({
      endpoints: "by-hand",
      spec: { type: "NodePort", externalTrafficPolicy: "Local" },
    });
    const terminating = { ready: false, serving: true, terminating: true };
    await service.putEndpoints([{ agent: elsewhere }, { agent: leaving, conditions: terminating }]);
    for (const client of stage.strangersTo(near)) {
      const seen = answeredBy([leaving], { client: stage.address(client) });
      const target = service.nodePort(near.address, "tcp");
      await stage.claim(`from ${client.name}`, client, target, seen);
    }
  },
};

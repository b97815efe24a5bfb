// internalTrafficPolicy: Local for processes on nodes.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, dropped } from "../expectation.ts";

export const internalPolicyLocalFromNode: ConformanceCase = {
  id: "internal-policy-local-from-node",
  name: "internalTrafficPolicy Local holds for processes on nodes as it does for pods",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const service = await stage.service({ endpoints: near.pods });
    const target = service.at("tcp");
    const everyone = answeredBy(near.pods, { every: true });
    await stage.claim("Cluster: served", stage.host(far), target, everyone);
    await service.patch({ spec: { internalTrafficPolicy: "Local" } });
    await stage.claim("Local: dropped elsewhere", stage.host(far), target, dropped);
    await stage.claim("Local: served here", stage.host(near), target, everyone);
  },
};

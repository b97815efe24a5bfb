// internalTrafficPolicy: Local.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, dropped } from "../expectation.ts";

export const internalPolicyLocal: ConformanceCase = {
  id: "internal-policy-local",
  name: "internalTrafficPolicy Local uses this node's endpoints, and drops when there are none",
  families: "each",
  needs: { nodes: 2 },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const [nearClient = stage.pod(0)] = near.pods;
    const [farClient = stage.pod(1)] = far.pods;
    const service = await stage.service({ endpoints: stage.pods });
    const target = service.at("tcp");
    const all = answeredBy(stage.pods, { every: true });
    await stage.claim("Cluster: all", nearClient, target, all);
    await service.patch({ spec: { internalTrafficPolicy: "Local" } });
    const local = (pods: typeof stage.pods) => answeredBy(pods, { every: true });
    await stage.claim(`only those on ${near.name}`, nearClient, target, local(near.pods));
    await stage.claim(`only those on ${far.name}`, farClient, target, local(far.pods));
    await service.select(near.pods);
    await stage.claim("no local endpoint: TCP is dropped", farClient, target, dropped);
    await stage.claim("no local endpoint: UDP too", farClient, service.at("udp"), dropped);
    await stage.claim(`still served on ${near.name}`, nearClient, target, local(near.pods));
  },
};

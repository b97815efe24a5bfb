// externalTrafficPolicy: Local is for strangers: the node's own pods and processes are short-cut.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, dropped } from "../expectation.ts";

export const externalPolicyLocalInside: ConformanceCase = {
  id: "external-policy-local-inside",
  name: "externalTrafficPolicy Local still serves a node's own pods and processes from elsewhere",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const service = await stage.service({
      endpoints: near.pods,
      spec: { type: "NodePort", externalTrafficPolicy: "Local" },
    });
    const target = service.nodePort(far.address, "tcp");
    const everyone = answeredBy(near.pods, { every: true });
    const [pod = stage.pod(1)] = far.pods;
    await stage.claim("its own pod is served", pod, target, everyone);
    await stage.claim("its own process is served", stage.host(far), target, everyone);
    const [stranger = stage.host(near)] = stage.strangersTo(far);
    await stage.claim("a stranger is dropped", stranger, target, dropped);
  },
};

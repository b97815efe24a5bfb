// Affinity can be switched on and off while the Service is in use.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const affinitySwitch: ConformanceCase = {
  id: "affinity-switch",
  name: "switching affinity on and off takes effect on a Service in use",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const client = stage.pod(0);
    const service = await stage.service({ endpoints: stage.pods });
    const target = service.at("tcp");
    const spread = answeredBy(stage.pods, { every: true });
    const sticky = answeredBy(stage.pods, { sameOne: true });
    await stage.claim("off: spread", client, target, spread);
    await service.patch({ spec: { sessionAffinity: "ClientIP" } });
    await stage.claim("on: one endpoint", client, target, sticky);
    await service.patch({ spec: { sessionAffinity: "None", sessionAffinityConfig: null } });
    await stage.claim("off again: spread", client, target, spread);
  },
};

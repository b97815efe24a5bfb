// Terminating endpoints serve while nobody else does: a rollout without a gap.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";

export const terminatingFallback: ConformanceCase = {
  id: "terminating-fallback",
  name: "terminating endpoints that still serve are used if and only if no endpoint is ready",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const [client, ready, leaving] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const service = await stage.service({ endpoints: "by-hand" });
    const terminating = (serving: boolean) => ({
      agent: leaving,
      conditions: { ready: false, serving, terminating: true },
    });
    const target = service.at("tcp");
    await service.putEndpoints([{ agent: ready }, terminating(true)]);
    await stage.claim("the ready one is used", client, target, answeredBy([ready]));
    await service.putEndpoints([terminating(true)]);
    await stage.claim("the terminating one is used", client, target, answeredBy([leaving]));
    await service.putEndpoints([terminating(false)]);
    await stage.claim("it serves no more", client, target, refused);
  },
};

// Which conditions make an endpoint usable; a missing one has its default.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";

export const conditions: ConformanceCase = {
  id: "conditions",
  name: "ready endpoints are used and others are not; an endpoint without conditions is ready",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const [client, plain, unready] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const service = await stage.service({ endpoints: "by-hand" });
    const notReady = { agent: unready, conditions: { ready: false, serving: false } };
    await service.putEndpoints([{ agent: plain }, notReady]);
    const target = service.at("tcp");
    await stage.claim("only the ready one answers", client, target, answeredBy([plain]));
    await service.putEndpoints([notReady]);
    await stage.claim("none is ready", client, target, refused);
    await service.putEndpoints([{ agent: unready, conditions: { ready: true } }]);
    await stage.claim("it has become ready", client, target, answeredBy([unready]));
  },
};

// Zone hints: traffic stays in the zone, unless an endpoint has no hint.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const hintsZone: ConformanceCase = {
  id: "hints-zone",
  name: "endpoints hinted for this node's zone are used alone, unless a ready endpoint has no hint",
  families: "each",
  needs: { pods: 3, zones: true },
  async run(stage) {
    const [client, hinted, other] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const here = { forZones: [{ name: stage.node(0).zone ?? "" }] };
    const away = { forZones: [{ name: "another-zone" }] };
    const service = await stage.service({ endpoints: "by-hand" });
    const target = service.at("tcp");
    await service.putEndpoints([
      { agent: hinted, hints: here },
      { agent: other, hints: away },
    ]);
    await stage.claim("hinted for this zone", client, target, answeredBy([hinted]));
    await service.putEndpoints([{ agent: hinted, hints: here }, { agent: other }]);
    const both = answeredBy([hinted, other], { every: true });
    await stage.claim("one has no hint", client, target, both);
    await service.putEndpoints([
      { agent: hinted, hints: away },
      { agent: other, hints: away },
    ]);
    await stage.claim("none is for this zone", client, target, both);
  },
};

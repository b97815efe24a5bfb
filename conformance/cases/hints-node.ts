// Node hints (KEP-3015): traffic stays on the node, with the zone and then all as fall-back.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const hintsNode: ConformanceCase = {
  id: "hints-node",
  name: "endpoints hinted for this node are used alone; when none is, all are",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const [client, hinted, other] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const here = { forNodes: [{ name: client.node }] };
    const away = { forNodes: [{ name: "another-node" }] };
    const service = await stage.service({ endpoints: "by-hand" });
    const target = service.at("tcp");
    const kept = await service.putEndpoints([
      { agent: hinted, hints: here },
      { agent: other, hints: away },
    ]);
    if (!kept.every(({ hints }) => hints?.forNodes !== undefined)) {
      stage.skip("this API server drops hints.forNodes (on from Kubernetes 1.34)");
    }
    await stage.claim("hinted for this node", client, target, answeredBy([hinted]));
    await service.putEndpoints([
      { agent: hinted, hints: away },
      { agent: other, hints: away },
    ]);
    const both = answeredBy([hinted, other], { every: true });
    await stage.claim("none is for this node", client, target, both);
  },
};

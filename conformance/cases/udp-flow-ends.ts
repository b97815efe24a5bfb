// A UDP flow whose Service has nothing left to offer: conntrack would go on translating it, to an
// address that may be somebody else's by now.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused, unanswered } from "../expectation.ts";

export const udpFlowEnds: ConformanceCase = {
  id: "udp-flow-ends",
  name: "a UDP flow that never pauses ends when its Service loses all endpoints or is deleted",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const service = await stage.service({ endpoints: [server] });
    const flow = { ...service.at("udp"), sourcePort: 21_001 };
    await stage.claim("it is answered", client, flow, answeredBy([server]));
    await service.select([]);
    await stage.claim("without endpoints", client, flow, refused);
    await service.select([server]);
    await stage.claim("it is answered again", client, flow, answeredBy([server]));
    await service.remove();
    await stage.claim("without the Service", client, flow, unanswered);
  },
};

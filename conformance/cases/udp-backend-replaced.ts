// UDP flows are not ended by anybody: without conntrack clean-up a client talks to the dead.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const udpBackendReplaced: ConformanceCase = {
  id: "udp-backend-replaced",
  name: "a UDP flow that never pauses follows the endpoints: replaced, and back",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const [client, first, second] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const service = await stage.service({ endpoints: [first] });
    const flow = { ...service.at("udp"), sourcePort: 21_002 };
    await stage.claim("the first endpoint", client, flow, answeredBy([first]));
    await service.select([second]);
    await stage.claim("its replacement", client, flow, answeredBy([second]));
    await service.select([first]);
    await stage.claim("the first again", client, flow, answeredBy([first]));
  },
};

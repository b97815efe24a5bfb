// publishNotReadyAddresses, with real readiness and the real slice controller.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";

export const publishNotReady: ConformanceCase = {
  id: "publish-not-ready",
  name: "an unready pod is served only by a Service with publishNotReadyAddresses",
  families: "once",
  needs: { pods: 2 },
  exclusive: true,
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const strict = await stage.service({ endpoints: [server] });
    const publishing = await stage.service({
      endpoints: [server],
      spec: { publishNotReadyAddresses: true },
    });
    await stage.claim("a ready pod is served", client, strict.at("tcp"), answeredBy([server]));
    await stage.setReady(server, false);
    await stage.claim("unready: refused", client, strict.at("tcp"), refused);
    const published = answeredBy([server]);
    await stage.claim("unready but published", client, publishing.at("tcp"), published);
    await stage.setReady(server, true);
    await stage.claim("ready again", client, strict.at("tcp"), answeredBy([server]));
  },
};

// Headless: nothing to translate, and slices so labelled are nobody's endpoints.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused, unanswered } from "../expectation.ts";

const label = "service.kubernetes.io/headless";

export const headless: ConformanceCase = {
  id: "headless",
  name: "a headless Service translates nothing, and slices labelled headless are not used",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const address = stage.address(server);
    const [targetPort = 0] = server.ports.tcp;
    const none = await stage.service({ endpoints: [server], spec: { clusterIP: "None" } });
    const direct = { ...none.on(address, "tcp"), port: targetPort };
    await stage.claim("the pod's own port", client, direct, answeredBy([server]));
    await stage.claim("the Service's port on the pod", client, none.on(address, "tcp"), refused);
    const labelled = await stage.service({ endpoints: "by-hand" });
    const target = labelled.at("tcp");
    await labelled.putEndpoints([{ agent: server }]);
    await stage.claim("before the label", client, target, answeredBy([server]));
    await labelled.putEndpoints([{ agent: server }], { [label]: "" });
    await stage.claim("with the label", client, target, unanswered);
  },
};

// A Service that changes its type is served exactly while it has a ClusterIP.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, unanswered } from "../expectation.ts";

export const externalNameChange: ConformanceCase = {
  id: "external-name-change",
  name: "a Service that becomes ExternalName loses its ClusterIP, and gets one on the way back",
  families: "once",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const service = await stage.service({ endpoints: [server] });
    const before = service.at("tcp");
    await stage.claim("a ClusterIP", client, before, answeredBy([server]));
    const ports = service.object.spec?.ports;
    await service.patch({
      spec: {
        type: "ExternalName",
        externalName: "name.invalid",
        clusterIP: null,
        clusterIPs: null,
        ipFamilies: null,
        ipFamilyPolicy: null,
      },
    });
    await stage.claim("an ExternalName", client, before, unanswered);
    await service.patch({ spec: { type: "ClusterIP", externalName: null, ports } });
    const after = service.on(service.vip(stage.facts.families[0]), "tcp");
    await stage.claim("a ClusterIP again", client, after, answeredBy([server]));
  },
};

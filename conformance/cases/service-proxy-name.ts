// service.kubernetes.io/service-proxy-name hands a Service to another proxy.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, unanswered } from "../expectation.ts";

const label = "service.kubernetes.io/service-proxy-name";

export const serviceProxyName: ConformanceCase = {
  id: "service-proxy-name",
  name: "a Service is left alone while it carries the label service-proxy-name",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const service = await stage.service({ endpoints: [server] });
    const target = service.at("tcp");
    await stage.claim("without the label", client, target, answeredBy([server]));
    await service.patch({ metadata: { labels: { [label]: "another" } } });
    await stage.claim("with the label", client, target, unanswered);
    await service.patch({ metadata: { labels: { [label]: null } } });
    await stage.claim("after its removal", client, target, answeredBy([server]));
  },
};

// Each port of a Service has its own target port; ports can be added and removed.

import type { ConformanceCase } from "../case.ts";
import type { ServicePort } from "../cluster/api-objects.ts";
import { answeredBy, unanswered } from "../expectation.ts";
import { servicePorts } from "../staged-service.ts";

export const clusterIpMultiPort: ConformanceCase = {
  id: "cluster-ip-multi-port",
  name: "each port leads to its own target port, also after a port is added or removed",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const [first = 0, second = 0] = server.ports.tcp;
    const one: ServicePort = { name: "one", port: servicePorts.tcp, targetPort: first };
    const two: ServicePort = { name: "two", port: servicePorts.http, targetPort: second };
    const service = await stage.service({ endpoints: [server], spec: { ports: [one] } });
    const toOne = service.at("tcp");
    const toTwo = { ...toOne, port: servicePorts.http };
    const seen = (port: number) => answeredBy([server], { port });
    await stage.claim("the first port is served", client, toOne, seen(first));
    await service.patch({ spec: { ports: [one, two] } });
    await stage.claim("the added port is served", client, toTwo, seen(second));
    await stage.claim("the first port is served still", client, toOne, seen(first));
    await service.patch({ spec: { ports: [two] } });
    await stage.claim("the removed port is not", client, toOne, unanswered);
    await stage.claim("the other port is served still", client, toTwo, seen(second));
  },
};

// healthCheckNodePort: tells a balancer which nodes hold ready endpoints.

import type { ConformanceCase } from "../case.ts";
import type { Target } from "../claim.ts";
import { httpStatus } from "../expectation.ts";
import { foreignClass } from "../spare-addresses.ts";

export const loadBalancerHealthCheck: ConformanceCase = {
  id: "load-balancer-health-check",
  name: "healthCheckNodePort answers 200 with the count of ready local endpoints, and 503 for none",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const service = await stage.service({
      endpoints: "by-hand",
      spec: {
        type: "LoadBalancer",
        loadBalancerClass: foreignClass,
        externalTrafficPolicy: "Local",
      },
    });
    const port = service.object.spec?.healthCheckNodePort ?? 0;
    const health = (address: string): Target => ({ protocol: "http", address, port });
    const ready = near.pods.map((agent) => ({ agent }));
    await service.putEndpoints(ready);
    const full = httpStatus(200, [`"localEndpoints":${near.pods.length}`]);
    const empty = httpStatus(503, ['"localEndpoints":0']);
    const client = stage.host(far);
    await stage.claim("a node with endpoints", client, health(near.address), full);
    await stage.claim("a node without", client, health(far.address), empty);
    const terminating = { ready: false, serving: true, terminating: true };
    await service.putEndpoints(ready.map(({ agent }) => ({ agent, conditions: terminating })));
    await stage.claim("only terminating ones", client, health(near.address), empty);
  },
};

// A load balancer's address in status is served on the node itself, unless it says Proxy.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, unanswered } from "../expectation.ts";
import { foreignClass, spareAddress } from "../spare-addresses.ts";

export const loadBalancerVip: ConformanceCase = {
  id: "load-balancer-vip",
  name: "a load balancer IP is served on the node while its ipMode is VIP or unset, not when Proxy",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const ip = spareAddress("load-balancer-vip", stage.family);
    const service = await stage.service({
      endpoints: [server],
      spec: { type: "LoadBalancer", loadBalancerClass: foreignClass },
    });
    const target = service.on(ip, "tcp");
    await stage.claim("before it has the IP", client, target, unanswered);
    await service.setIngress([{ ip }]);
    await stage.claim("ipMode unset, TCP", client, target, answeredBy([server]));
    await stage.claim("ipMode unset, UDP", client, service.on(ip, "udp"), answeredBy([server]));
    await service.setIngress([{ ip, ipMode: "Proxy" }]);
    await stage.claim("ipMode Proxy", client, target, unanswered);
    await service.setIngress([{ ip, ipMode: "VIP" }]);
    await stage.claim("ipMode VIP", client, target, answeredBy([server]));
    await service.setIngress([]);
    await stage.claim("after it lost the IP", client, target, unanswered);
  },
};

// loadBalancerSourceRanges: a filter on the VIP alone, for pods too.

import { hostCidr } from "../../lib/ip/cidr.ts";
import type { ConformanceCase } from "../case.ts";
import { answeredBy, dropped } from "../expectation.ts";
import { foreignClass, spareAddress } from "../spare-addresses.ts";

export const loadBalancerSourceRanges: ConformanceCase = {
  id: "load-balancer-source-ranges",
  name: "loadBalancerSourceRanges drops other clients on the VIP, not on ClusterIP or NodePort",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const [allowed, other, server] = [stage.pod(0), stage.pod(1), stage.pod(2)];
    const ip = spareAddress("load-balancer-source-ranges", stage.family);
    const service = await stage.service({
      endpoints: [server],
      spec: { type: "LoadBalancer", loadBalancerClass: foreignClass },
    });
    await service.setIngress([{ ip }]);
    const target = service.on(ip, "tcp");
    const served = answeredBy([server]);
    await stage.claim("no ranges: anyone", other, target, served);
    const range = hostCidr(stage.address(allowed));
    await service.patch({ spec: { loadBalancerSourceRanges: [range] } });
    await stage.claim("a client within them", allowed, target, served);
    await stage.claim("a client outside of them", other, target, dropped);
    await stage.claim("the ClusterIP", other, service.at("tcp"), served);
    const entry = service.nodePort(stage.node(0).address, "tcp");
    await stage.claim("the NodePort", other, entry, served);
    await service.patch({ spec: { loadBalancerSourceRanges: null } });
    await stage.claim("no ranges again", other, target, served);
  },
};

// Endpoints that share their node's address.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const hostNetworkEndpoints: ConformanceCase = {
  id: "host-network-endpoints",
  name: "a pod reaches endpoints that run in the network of their nodes",
  families: "each",
  needs: { hosts: true },
  async run(stage) {
    const hosts = stage.nodes.map((node) => stage.host(node));
    const service = await stage.service({ endpoints: "by-hand" });
    await service.putEndpoints(hosts.map((agent) => ({ agent })));
    const all = answeredBy(hosts, { every: true });
    await stage.claim("every node answers TCP", stage.pod(0), service.at("tcp"), all);
    await stage.claim("every node answers UDP", stage.pod(0), service.at("udp"), all);
  },
};

// externalTrafficPolicy: Cluster: any node serves for all, at the price of the client's address.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const externalPolicyCluster: ConformanceCase = {
  id: "external-policy-cluster",
  name: "externalTrafficPolicy Cluster serves on nodes without endpoints, as the node itself",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const service = await stage.service({ endpoints: near.pods, spec: { type: "NodePort" } });
    for (const client of stage.strangersTo(far)) {
      const masked = answeredBy(near.pods, { clientNot: [stage.address(client)] });
      const target = service.nodePort(far.address, "tcp");
      await stage.claim(`from ${client.name} by node ${far.name}`, client, target, masked);
    }
  },
};

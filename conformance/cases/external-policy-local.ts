// externalTrafficPolicy: Local: the client's address is kept, so only local endpoints can serve.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, dropped } from "../expectation.ts";

export const externalPolicyLocal: ConformanceCase = {
  id: "external-policy-local",
  name: "externalTrafficPolicy Local keeps the client's address; a node without endpoints drops",
  families: "each",
  needs: { nodes: 2, hosts: true },
  async run(stage) {
    const [near, far] = [stage.node(0), stage.node(1)];
    const service = await stage.service({ endpoints: stage.pods, spec: { type: "NodePort" } });
    const at = (address: string) => service.nodePort(address, "tcp");
    const [stranger = stage.host(near)] = stage.strangersTo(far);
    const all = answeredBy(stage.pods, { every: true });
    await stage.claim("Cluster: any endpoint", stranger, at(far.address), all);
    await service.patch({ spec: { externalTrafficPolicy: "Local" } });
    for (const node of [near, far]) {
      for (const client of stage.strangersTo(node)) {
        const seen = answeredBy(node.pods, { every: true, client: stage.address(client) });
        const words = `from ${client.name} by node ${node.name}`;
        await stage.claim(words, client, at(node.address), seen);
      }
    }
    await service.select(near.pods);
    await stage.claim("no local endpoint: TCP drops", stranger, at(far.address), dropped);
    const udp = service.nodePort(far.address, "udp");
    await stage.claim("no local endpoint: UDP drops", stranger, udp, dropped);
  },
};

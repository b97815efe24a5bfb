// ClientIP affinity: by client address, for the whole Service port, whatever the entry.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const affinityClientIp: ConformanceCase = {
  id: "affinity-client-ip",
  name: "affinity ClientIP keeps a client at one endpoint, through ClusterIP and NodePort alike",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const service = await stage.service({
      endpoints: stage.pods,
      spec: { type: "NodePort", sessionAffinity: "ClientIP" },
    });
    const sticky = answeredBy(stage.pods, { sameOne: true });
    for (const client of stage.pods) {
      const target = service.at("tcp");
      await stage.claim(`ClusterIP sticks for ${client.name}`, client, target, sticky);
      const answer = await stage.try(client, target);
      const chosen = answer?.kind === "reply" ? answer.echo?.pod : undefined;
      const same = answeredBy(stage.pods.filter((pod) => pod.name === chosen));
      // Its own node's, for each node remembers for itself.
      const node = stage.nodes.find(({ name }) => name === client.node) ?? stage.node(0);
      const entry = service.nodePort(node.address, "tcp");
      await stage.claim("NodePort leads to the same one", client, entry, same);
      await stage.claim("ClusterIP still does", client, target, same);
    }
    await stage.claim("UDP sticks too", stage.pod(0), service.at("udp"), sticky);
  },
};

// Affinity never holds a client to an endpoint that is gone.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const affinityEndpointRemoved: ConformanceCase = {
  id: "affinity-endpoint-removed",
  name: "a client whose endpoint is removed gets another one and stays with it",
  families: "each",
  needs: { pods: 3 },
  async run(stage) {
    const client = stage.pod(0);
    const service = await stage.service({
      endpoints: stage.pods,
      spec: { sessionAffinity: "ClientIP" },
    });
    const target = service.at("tcp");
    await stage.claim("it sticks", client, target, answeredBy(stage.pods, { sameOne: true }));
    const answer = await stage.try(client, target);
    const chosen = answer?.kind === "reply" ? answer.echo?.pod : undefined;
    const rest = stage.pods.filter((pod) => pod.name !== chosen);
    await service.select(rest);
    await stage.claim("it sticks to another", client, target, answeredBy(rest, { sameOne: true }));
  },
};

// Affinity ends some time after the last new connection.

import type { ConformanceCase } from "../case.ts";
import { ClaimError } from "../claim.ts";
import { answeredBy } from "../expectation.ts";

const timeoutSeconds = 2;
/** A new choice hits the old endpoint of three 1 time in 3: 20 times in a row once in 3.5e9. */
const attempts = 20;

export const affinityTimeout: ConformanceCase = {
  id: "affinity-timeout",
  name: "affinity is forgotten when a client stays away longer than timeoutSeconds",
  families: "once",
  needs: { pods: 3 },
  async run(stage) {
    const client = stage.pod(0);
    const service = await stage.service({
      endpoints: stage.pods,
      spec: {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds } },
      },
    });
    const target = service.at("tcp");
    const sticky = answeredBy(stage.pods, { sameOne: true });
    await stage.claim("it sticks while in use", client, target, sticky);
    const seen = new Set<string | undefined>();
    for (let left = attempts; left > 0 && seen.size < 2; left -= 1) {
      const answer = await stage.try(client, target);
      if (answer?.kind === "reply") seen.add(answer.echo?.pod);
      await stage.sleep((timeoutSeconds + 1) * 1_000);
    }
    if (seen.size >= 2) return;
    throw new ClaimError(`${attempts} pauses of ${timeoutSeconds + 1} s never led to another pod`);
  },
};

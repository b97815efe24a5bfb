// Endpoints come and go; every node follows.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, refused } from "../expectation.ts";

export const endpointsChange: ConformanceCase = {
  id: "endpoints-change",
  name: "an endpoint that comes is used and one that goes is not, on every node, down to none",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const pair = [stage.pod(0), stage.pod(1)];
    const service = await stage.service({ endpoints: pair.slice(0, 1) });
    const everywhere = async (words: string, expected: Parameters<typeof stage.claim>[3]) => {
      for (const { name, pods } of stage.nodes) {
        const [client = stage.pod(0)] = pods;
        await stage.claim(`${words}, on ${name}`, client, service.at("tcp"), expected);
      }
    };
    await everywhere("the first answers", answeredBy(pair.slice(0, 1)));
    await service.select(pair);
    await everywhere("both answer", answeredBy(pair, { every: true }));
    await service.select(pair.slice(1));
    await everywhere("only the second answers", answeredBy(pair.slice(1)));
    await service.select([]);
    await everywhere("none is left", refused);
  },
};

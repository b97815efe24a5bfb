// A deleted Service leaves nothing behind.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, unanswered } from "../expectation.ts";

export const serviceDeleted: ConformanceCase = {
  id: "service-deleted",
  name: "a deleted Service stops answering, on its ClusterIP and its NodePort",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const { address } = stage.node(0);
    const service = await stage.service({ endpoints: [server], spec: { type: "NodePort" } });
    const targets = [
      ["ClusterIP", service.at("tcp")],
      ["UDP", service.at("udp")],
      ["NodePort", service.nodePort(address, "tcp")],
    ] as const;
    for (const [words, target] of targets) {
      await stage.claim(`${words} answers`, client, target, answeredBy([server]));
    }
    await service.remove();
    for (const [words, target] of targets) {
      await stage.claim(`${words} is gone`, client, target, unanswered);
    }
  },
};

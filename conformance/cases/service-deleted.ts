// A deleted Service leaves nothing behind.

import type { ConformanceCase } from "../case.ts";
import { answeredBy, unanswered } from "../expectation.ts";

export const serviceDeleted: ConformanceCase = {
  id: "service-deleted",
  name: "a deleted Service stops answering on ClusterIP and NodePort, even a running UDP flow",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const { address } = stage.node(0);
    const service = await stage.service({ endpoints: [server], spec: { type: "NodePort" } });
    const targets = [
      ["ClusterIP", service.at("tcp")],
      ["UDP flow", { ...service.at("udp"), sourcePort: 21_001 }],
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

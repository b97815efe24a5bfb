// spec.externalIPs: an address that nobody has, translated where it passes.

import type { ConformanceCase } from "../case.ts";
import { RefusedError } from "../cluster/cluster.ts";
import { answeredBy, unanswered } from "../expectation.ts";
import { spareAddress } from "../spare-addresses.ts";
import { unusedPort } from "../staged-service.ts";

export const externalIp: ConformanceCase = {
  id: "external-ip",
  name: "an external IP answers on the Service's ports and on no other",
  families: "each",
  needs: { pods: 2 },
  async run(stage) {
    const client = stage.pod(0);
    const server = stage.pod(1);
    const address = spareAddress("external-ip", stage.family);
    const service = await stage
      .service({ endpoints: [server], spec: { externalIPs: [address] } })
      .catch((error: unknown) => {
        if (!(error instanceof RefusedError)) throw error;
        return stage.skip(`this cluster refuses externalIPs: ${error.message}`);
      });
    for (const port of ["tcp", "udp"] as const) {
      const target = service.on(address, port);
      await stage.claim(`${port} is answered`, client, target, answeredBy([server]));
    }
    const unused = { ...service.on(address, "tcp"), port: unusedPort };
    await stage.claim("another port is not", client, unused, unanswered);
  },
};

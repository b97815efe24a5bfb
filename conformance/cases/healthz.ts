// The proxy's own endpoints, as the cluster's tools expect them.

import type { ConformanceCase } from "../case.ts";
import type { Target } from "../claim.ts";
import { httpStatus } from "../expectation.ts";

export const healthz: ConformanceCase = {
  id: "healthz",
  name: "each node's proxy answers :10256 /healthz (with lastUpdated) and /livez, and its mode",
  families: "once",
  needs: { hosts: true },
  async run(stage) {
    const url = (address: string, port: number, path: string): Target => ({
      protocol: "http",
      address,
      port,
      path,
    });
    for (const node of stage.nodes) {
      const host = stage.host(node);
      const healthy = httpStatus(200, ["lastUpdated"]);
      const at = node.address;
      await stage.claim(`/healthz of ${node.name}`, host, url(at, 10_256, "/healthz"), healthy);
      await stage.claim(`/livez of ${node.name}`, host, url(at, 10_256, "/livez"), httpStatus(200));
      const mode = url("127.0.0.1", 10_249, "/proxyMode");
      await stage.claim(`/proxyMode of ${node.name}`, host, mode, httpStatus(200));
    }
  },
};

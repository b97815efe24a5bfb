// A cluster without the Gateway API is a cluster, and one that gets it later is found out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { withReflector } from "./fake-api-rig.ts";
import type { FakeApiServer } from "./fake-api-server.ts";
import { ABSENT_RETRY_MS } from "./watch.ts";

const HTTP_ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes";

test("kinds that nobody installed count as empty, and are found within 45 s once they are", async () => {
  const before = (server: FakeApiServer): void => {
    const fault = { kind: "status", code: 404 } as const;
    server.inject({ path: HTTP_ROUTES, verb: "watch", times: 1, fault });
  };
  await withReflector({ kinds: ["Service", "HTTPRoute"], before }, async (rig) => {
    await rig.turnUntil(() => rig.store.synced);
    assert.equal(rig.store.httpRoutes.size, 0);
    rig.server.put({ kind: "HTTPRoute", metadata: { name: "later" }, spec: {} });
    const tookMs = await rig.turnUntil(() => rig.store.httpRoutes.has("default/later"));
    assert.ok(tookMs >= ABSENT_RETRY_MS - 1_000 && tookMs <= 45_000, `took ${tookMs} ms`);
  });
});

// Fault F43: a node with 500 identities asks for all of them at once, as after a restart.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { NodeProcess } from "../../playground/node-process.ts";
import { scrape } from "./agent-metrics.ts";
import { putPod } from "./cluster-objects.ts";
import { hasCertificates, IdentityCluster } from "./identity-rig.ts";
import { inParallel } from "./parallel.ts";
import { usageOf } from "./process-usage.ts";

const IDENTITIES = 500;
/** Keys, certificates and pods: 20 KiB each would be 10 MiB. */
const MAX_GROWTH_MIB = 64;
const LIMIT_MS = 120_000;

async function counted(agent: NodeProcess, result: string): Promise<number> {
  return (await scrape(agent)).sum("innermesh_certificate_requests_total", { result }) || 0;
}

suite("many identities", () => {
  test("F43: a node's 500 identities get certificates, a few at a time", async (t) => {
    await using mesh = await IdentityCluster.build("permissive");
    const node = mesh.cluster.playground.node(1);
    await mesh.startControllers();
    const agent = await mesh.startAgent(node);
    const before = usageOf(agent.pid);
    await inParallel(16, IDENTITIES, async (number) => {
      const name = `storm-${number}`;
      // Without addresses, which no interfaces have: nothing would prove who is there.
      const place = { nodeName: node.name, podIPs: [] };
      await putPod(mesh.admin, { name, serviceAccountName: name, ...place });
    });
    await hasCertificates(agent, IDENTITIES, LIMIT_MS);
    const grown = usageOf(agent.pid).rssMiB - before.rssMiB;
    t.diagnostic(`agent grew by ${Math.round(grown)} MiB`);
    await agent.kill();
    const startMs = performance.now();
    const second = await mesh.startAgent(node);
    const healthyMs = performance.now() - startMs;
    await hasCertificates(second, IDENTITIES, LIMIT_MS);
    const seconds = (performance.now() - startMs - healthyMs) / 1_000;
    t.diagnostic(`${seconds.toFixed(1)} s from healthy to the last of ${IDENTITIES}`);
    t.diagnostic(`RSS ${Math.round(usageOf(second.pid).rssMiB)} MiB`);
    assert.ok(grown < MAX_GROWTH_MIB);
    const [issued, failed] = await Promise.all(
      ["issued", "failed"].map((result) => counted(second, result)),
    );
    assert.equal(issued, IDENTITIES, "none is asked for twice");
    t.diagnostic(`${failed} requests failed`);
  });
});

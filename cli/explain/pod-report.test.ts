// Who proves what in the cluster of testdata/enrolled, and what Services and addresses say of it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { takeSnapshot } from "../snapshot.ts";
import { explainAddress, formatAddressReport } from "./address-report.ts";
import { FlowCost } from "./flow-cost.ts";
import type { PlannedNode } from "./planned-node.ts";
import { explainPod, formatPodReport } from "./pod-report.ts";
import { explainService } from "./service-report.ts";
import { formatServiceReport } from "./service-text.ts";

const FOLDER = join(import.meta.dirname, "testdata", "enrolled");

async function node(...more: readonly string[]): Promise<PlannedNode> {
  const flags = [`--source=dir:${FOLDER}`, "--hostname-override=node-1"];
  return { ...(await takeSnapshot([...flags, ...more])), kernel: undefined };
}

const on = await node("--identity=off");
const off = await node();

describe("explain pod", () => {
  const cases: readonly (readonly [pod: string, facts: RegExp])[] = [
    [
      "shop/front",
      /mode +permissive \(label innermesh.io\/identity=permissive of Namespace shop\)/,
    ],
    ["shop/front", /identity +spiffe:\/\/cluster.local\/ns\/shop\/sa\/front\n/],
    ["shop/front", /reached +on this node: both identities are checked/],
    ["shop/vault-0", /mode +strict \(label innermesh.io\/identity=strict of ServiceAccount shop/],
    ["shop/cart-0", /reached +by tunnel\n/],
    ["shop/cart-1", /reached +in plaintext: its node takes no tunnels/],
    ["default/plain", /mode +off \(the mesh's default is off\)\n +reached +in plaintext\n/],
    ["kube-system/agent-1", /none of its own\n +mode +off \(it shares its node's network/],
  ];
  for (const [pod, facts] of cases) {
    test(`${pod}: ${facts.source.slice(0, 40)}`, () => {
      const report = explainPod(on, pod);
      assert(report !== undefined);
      assert.match(formatPodReport(report), facts);
    });
  }
  test("where identities are off, that is said", () => {
    const report = explainPod(off, "shop/vault-0");
    assert(report !== undefined);
    assert.match(formatPodReport(report), /mode +off \(identities are off: --identity=none\)/);
  });
  test("a pod that is not there is undefined", () => {
    assert.equal(explainPod(on, "shop/none"), undefined);
  });
});

describe("explain, where pods have identities", () => {
  const explain = async (from: PlannedNode) =>
    explainService(from, await FlowCost.of(from), "shop/cart") ?? assert.fail("no shop/cart");

  test("a Service leaves the kernel lane because of them, and tells the mode of its pods", async () => {
    const text = formatServiceReport(await explain(on));
    assert.match(text, /lane +l4 \(clients here and endpoints have identities to prove\)/);
    assert.match(text, /shop\/cart-0 +node-2 +permissive +by tunnel +label/);
    assert.match(text, /shop\/cart-1 +node-3 +permissive +in plaintext: its node/);
  });
  test("without them it stays there, and no pods are told", async () => {
    const report = await explain(off);
    assert.equal(report.lane, "kernel");
    assert.deepEqual(report.pods, []);
  });
  test("an address tells whose it is", () => {
    const text = formatAddressReport(explainAddress(on, { address: "10.71.2.3" }));
    assert.match(text, /shop\/vault-1 +node-2 +strict +by tunnel/);
  });
});

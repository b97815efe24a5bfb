// What `innermesh trace` says where pods have identities, on the cluster of `explain pod`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { takeSnapshot } from "../snapshot.ts";
import { trace } from "./packet-trace.ts";
import { formatTrace } from "./trace-text.ts";

const FOLDER = join(import.meta.dirname, "../explain/testdata/enrolled");
const snapshot = await takeSnapshot([
  `--source=dir:${FOLDER}`,
  "--hostname-override=node-1",
  "--detect-local-mode=NodeCIDR",
  "--identity=off",
]);

const text = async (from: string, to: string): Promise<string> => {
  const question = { from, to, interface: undefined, request: undefined, header: [] };
  return formatTrace(await trace(snapshot, question));
};

const cases: readonly (readonly [from: string, to: string, verdict: RegExp])[] = [
  ["shop/front", "10.71.2.2:8080", /port 15003, which carries it by tunnel to spiffe:\S+\/cart\n/],
  ["shop/front", "10.71.1.3:8080", /port 15003, which checks both identities and calls \S+\/vault/],
  ["shop/front", "10.71.3.2:8080", /untouched: no Service of ours is there/],
  ["default/plain", "10.71.2.2:8080", /untouched/],
  ["default/plain", "10.71.1.3:8080", /dropped here: 10\.71\.1\.3 is strict and takes no plain/],
  ["default/plain", "10.71.2.3:8080", /dropped at its node: 10\.71\.2\.3 is strict/],
  ["node", "10.71.1.3:8080", /untouched/],
  ["node", "10.71.1.3:15008", /refused: processes of a node call its pods without a tunnel/],
  ["node", "10.71.2.2:8080", /port 15003, which carries it by tunnel to \S+\/cart, as spiffe:/],
  ["node", "shop/cart:80", /at its port 15002\n(.*\n)*.* by tunnel to spiffe:\S+\/cart\)/],
  ["192.168.77.12", "10.71.1.2:15008", /port 15008, where tunnels to \S+\/front end/],
  ["shop/front", "10.71.2.3:53/udp", /dropped at its node: 10\.71\.2\.3 is strict/],
  ["shop/front", "shop/keys:53/udp", /translated, but dropped at its node: 10\.71\.2\.3/],
  ["shop/front", "shop/cart:80", /at its port 15001\n(.*\n)*.* by tunnel to spiffe:\S+\/cart\)/],
];

for (const [from, to, verdict] of cases) {
  test(`${from} to ${to}: ${verdict.source.slice(0, 50)}`, async () => {
    assert.match(await text(from, to), verdict);
  });
}

test("a worker calls in plaintext whom no tunnel reaches, and whoever has no identity", async () => {
  assert.doesNotMatch(
    await text("shop/front", "shop/cart:80"),
    /10\.71\.3\.2\S* \(\S+ \S+ by tunnel/,
  );
  assert.doesNotMatch(await text("default/plain", "shop/cart:80"), /by tunnel/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link } from "../../lib/netlink/link.ts";
import { type BindingMemory, bindPods, type PodNetwork } from "./guard-binding.ts";
import type { PolicyPod } from "./policy-table-parts.ts";

const veth = (index: number, more: Partial<Link> = {}): Link => ({
  index,
  name: `veth-${index}`,
  kind: "veth",
  address: "",
  ...more,
});
const NONE: BindingMemory = new Map();
const A = "10.71.1.2";
const B = "10.71.1.3";

function pod(uid: string, address: string, mode: PolicyPod["mode"] = "strict"): PolicyPod {
  return { uid, addresses: [address], mode };
}

function network(more: Partial<PodNetwork>): PodNetwork {
  return { links: [veth(5), veth(6)], routes: new Map(), behind: new Map(), ...more };
}

function bound(result: ReturnType<typeof bindPods>): Record<string, string> {
  return Object.fromEntries(result.bindings.map(({ address, link }) => [address, link.name]));
}

test("a host route names a pod's interface", () => {
  const result = bindPods([pod("a", A)], network({ routes: new Map([[A, 5]]) }), NONE);
  assert.deepEqual(bound(result), { [A]: "veth-5" });
  assert.deepEqual(result.problems, []);
});

test("without one, the port of a bridge whose far end has the address", () => {
  const result = bindPods([pod("a", A)], network({ behind: new Map([[6, [A]]]) }), NONE);
  assert.deepEqual(bound(result), { [A]: "veth-6" });
});

test("an address that two pods claim is bound to neither", () => {
  const pods = [pod("a", A), pod("b", A)];
  const result = bindPods(pods, network({ routes: new Map([[A, 5]]) }), NONE);
  assert.deepEqual(bound(result), {});
  assert.match(result.problems[0] ?? "", /two pods claim it/);
});

test("an address that two ports have is bound to none, unless one had it before", () => {
  const pods = [pod("a", A)];
  const both = network({
    behind: new Map([
      [5, [A]],
      [6, [A]],
    ]),
  });
  assert.deepEqual(bound(bindPods(pods, both, NONE)), {});
  const { memory } = bindPods(pods, network({ behind: new Map([[5, [A]]]) }), NONE);
  assert.deepEqual(bound(bindPods(pods, both, memory)), { [A]: "veth-5" });
});

test("a port that shows addresses of two pods is no witness", () => {
  const behind = new Map([
    [5, [A, B]],
    [6, [B]],
  ]);
  const result = bindPods([pod("a", A), pod("b", B)], network({ behind }), NONE);
  assert.deepEqual(bound(result), { [B]: "veth-6" });
});

test("an identity does not follow its address, not even after a time without any", () => {
  const pods = [pod("a", A)];
  const first = bindPods(pods, network({ routes: new Map([[A, 5]]) }), NONE);
  const gone = bindPods(pods, network({ links: [], routes: new Map() }), first.memory);
  assert.deepEqual(bound(gone), {});
  const next = network({ links: [veth(6)], routes: new Map([[A, 6]]) });
  const moved = bindPods(pods, next, gone.memory);
  assert.deepEqual(bound(moved), {});
  assert.match(moved.problems[0] ?? "", /moved from veth-5 \(5\) to veth-6 \(6\)/);
  assert.deepEqual(bound(bindPods([pod("b", A)], next, moved.memory)), { [A]: "veth-6" });
});

test("a pod that is not enrolled has no identity to carry over, and may move", () => {
  const pods = [pod("a", A, "off")];
  const { memory } = bindPods(pods, network({ routes: new Map([[A, 5]]) }), NONE);
  const moved = bindPods(pods, network({ routes: new Map([[A, 6]]) }), memory);
  assert.deepEqual(bound(moved), { [A]: "veth-6" });
});

test("what is neither routed nor bridged is refused with a sentence", () => {
  const links = [veth(5, { kind: "netkit", name: "lxc1" })];
  const routed = bindPods([pod("a", A)], network({ links, routes: new Map([[A, 5]]) }), NONE);
  assert.match(routed.problems[0] ?? "", /its route leads to lxc1, which is no veth; only CNIs/);
  const nowhere = bindPods([pod("a", A)], network({}), NONE);
  assert.match(nowhere.problems[0] ?? "", /no host route and no port of a bridge leads to it/);
});

test("an enrolled pod that never had an interface which proves anything is told of, with why", () => {
  const macvlan = veth(7, { name: "mv0", kind: "macvlan" });
  const odd = network({ links: [macvlan], routes: new Map([[A, 7]]) });
  const { unsupported } = bindPods([pod("a", A), pod("b", B)], odd, NONE);
  assert.deepEqual([...unsupported.keys()], [A, B]);
  assert.equal(unsupported.get(A)?.uid, "a");
  assert.match(unsupported.get(A)?.why ?? "", /mv0, which is no veth; only CNIs with routed/);
  assert.match(unsupported.get(B)?.why ?? "", /no host route and no port .* not ipvlan, macvlan/);
  assert.equal(bindPods([pod("a", A, "off")], odd, NONE).unsupported.size, 0);
});

test("a pod whose interface has gone is ending, and not unsupported", () => {
  const { memory } = bindPods([pod("a", A)], network({ routes: new Map([[A, 5]]) }), NONE);
  const gone = bindPods([pod("a", A)], network({ links: [] }), memory);
  assert.equal(gone.problems.length, 1);
  assert.equal(gone.unsupported.size, 0);
});

// A UDPRoute for real: datagrams to a Service reach the endpoints of its backends by weight, new
// weights and new endpoints count at once, and no proxy has a part in it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { countAnswers } from "../../playground/probe.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const [PARENT, BLUE, GREEN] = [1, 2, 3] as const;
const DATAGRAMS = 500;
/** In points of a hundred: three standard deviations of so many datagrams, and a little. */
const TOLERANCE = 6;
const LIMIT_MS = 2_000;

let rig: ServedNode;
before(async () => {
  rig = await ServedNode.build();
  await rig.serve({ number: PARENT, pods: ["pod-1-1"] });
  await rig.serve({ number: BLUE, pods: ["pod-1-2"] });
  await rig.serve({ number: GREEN, pods: ["pod-2-1"] });
  await rig.put("route", [shares(80, 20)]);
  await rig.start();
});
after(() => rig[Symbol.asyncDispose]());

function shares(blue: number, green: number): Manifest {
  const backendRefs = [caseBackend(BLUE, blue), caseBackend(GREEN, green)];
  return caseRoute(PARENT, { kind: "UDPRoute", rules: [{ backendRefs }] });
}

/** Sends datagrams, each from a source port of its own. @returns percent by who answered */
async function spread(
  family: (typeof FAMILIES)[number],
  count = DATAGRAMS,
): Promise<ReadonlyMap<string, number>> {
  const target = { protocol: "udp", ...rig.address("cluster", PARENT, family) } as const;
  const counts = countAnswers(await rig.probe("client").tryMany(target, count, 8));
  return new Map(Object.entries(counts).map(([name, n]) => [name, (100 * n) / count]));
}

/** Claims who answers and how often, and that nobody else does. */
function claim(
  actual: ReadonlyMap<string, number>,
  expected: Readonly<Record<string, number>>,
): void {
  assert.deepEqual([...actual.keys()].sort(), Object.keys(expected).sort());
  for (const [name, percent] of Object.entries(expected)) {
    const got = actual.get(name) ?? 0;
    assert.ok(Math.abs(got - percent) <= TOLERANCE, `${name}: ${got} % for ${percent} %`);
  }
}

for (const family of FAMILIES) {
  test(`${family}: datagrams are shared out by weight`, async (t) => {
    const actual = await spread(family);
    t.diagnostic(JSON.stringify([...actual]));
    claim(actual, { "pod-1-2": 80, "pod-2-1": 20 });
  });
}

test("TCP of the same port number stays with the Service", async () => {
  const { address, port } = rig.address("cluster", PARENT, "ip");
  const result = await rig.probe("client").tcp(address, port);
  assert.equal(result.kind === "reply" ? result.echo?.pod : result.kind, "pod-1-1");
});

test("new weights count for new flows, and a flow that lives stays where it is", async (t) => {
  const { address, port } = rig.address("cluster", PARENT, "ip");
  const flow = async (): Promise<string> => {
    const result = await rig.probe("client").udp(address, port, { sourcePort: 20_001 });
    return result.kind === "reply" ? (result.echo?.pod ?? "") : result.kind;
  };
  const first = await flow();
  await rig.put("route", [shares(30, 70)]);
  await until("ten positions", async () => (await positions()).length === 10, LIMIT_MS);
  const actual = await spread("ip");
  t.diagnostic(JSON.stringify([...actual]));
  claim(actual, { "pod-1-2": 30, "pod-2-1": 70 });
  assert.equal(await flow(), first);
});

test("a replaced endpoint of a backend has its flows, those that live too", async () => {
  const sourcePort = 20_002;
  const { address, port } = rig.address("cluster", PARENT, "ip");
  await rig.put("route", [shares(1, 0)]);
  const podIs = (pod: string) => async (): Promise<boolean> => {
    const result = await rig.probe("client").udp(address, port, { sourcePort, timeoutMs: 200 });
    return result.kind === "reply" && result.echo?.pod === pod;
  };
  await until("the only backend", podIs("pod-1-2"), LIMIT_MS);
  await rig.serve({ number: BLUE, pods: ["pod-2-2"] });
  await until("its new endpoint", podIs("pod-2-2"), LIMIT_MS);
  claim(await spread("ip", 50), { "pod-2-2": 100 });
});

/** Elements of the parent's endpoint set for UDP over IPv4. */
async function positions(): Promise<readonly string[]> {
  const { address, port } = rig.address("cluster", PARENT, "ip");
  const vips = await rig.elements("ip", "vips");
  const id = vips.find((text) => text.startsWith(`${address} . udp . ${port} : `))?.split(" : ")[1];
  const all = await rig.elements("ip", "endpoints");
  return all.filter((text) => text.startsWith(`${id} . `));
}

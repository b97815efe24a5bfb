// Policies, labels and pods change under open connections: what is denied by now ends, whoever
// carries it, and what was not asked about stays.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test, type TestContext } from "node:test";
import type { OpenConnection } from "../../playground/probe.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import {
  accountPolicy,
  BATCHES,
  callers,
  clusterPolicy,
  FRONTS,
  networkPolicy,
  PLAIN,
  PODS,
  PolicyMesh,
} from "./policy-mesh.ts";
import { FAMILIES, until } from "./served-node.ts";

const CLIENTS = { app: "client" };
/** Two seconds are promised; machines are busy. */
const END_LIMIT_MS = 15_000;
const GLANCE_MS = 300;
const TEAM = "team";

describe("changes under open connections", () => {
  let rig: PolicyMesh;
  before(async () => {
    rig = await PolicyMesh.build();
  });
  afterEach(async () => {
    await rig.people();
    await rig.hold();
    await rig.serves(...PODS);
  });
  after(() => rig?.[Symbol.asyncDispose]());

  /** One connection on each way. */
  async function open(from: string): Promise<readonly OpenConnection[]> {
    const targets = FAMILIES.flatMap((family) => Object.values(rig.ways(from, family)));
    return Promise.all(targets.map((target) => rig.mesh.open(from, target)));
  }

  async function areOver(connections: readonly OpenConnection[], t: TestContext): Promise<void> {
    const startMs = performance.now();
    let open = connections;
    await until(
      "the end of what is denied",
      async () => {
        const live = await Promise.all(open.map((one) => isAlive(one, GLANCE_MS)));
        open = open.filter((_, at) => live[at]);
        return open.length === 0;
      },
      END_LIMIT_MS,
    );
    t.diagnostic(`all are over ${Math.round(performance.now() - startMs)} ms after it`);
  }

  async function areAlive(connections: readonly OpenConnection[]): Promise<void> {
    const live = await Promise.all(connections.map((one) => isAlive(one)));
    assert(!live.includes(false), `${live.filter((one) => !one).length} are over`);
  }

  /** Puts policies in place and does not wait until they hold. */
  function put(...policies: readonly Manifest[]): Promise<void> {
    return rig.mesh.served.put("policies", policies);
  }

  test("a new Deny ends tunnels, relays and direct calls of its account, and no others", async (t) => {
    await rig.hold(accountPolicy(callers("front", "batch")));
    await rig.serves(...FRONTS, ...BATCHES);
    const denied = (await Promise.all(BATCHES.map(open))).flat();
    const allowed = (await Promise.all(FRONTS.map(open))).flat();
    const deny = accountPolicy({ action: "Deny", ...callers("batch") }, "deny");
    await put(accountPolicy(callers("front", "batch")), deny);
    await areOver(denied, t);
    await areAlive(allowed);
    await rig.serves(...FRONTS);
  });

  test("a port that closes ends what was opened in plaintext", async (t) => {
    const plain = await open(PLAIN);
    const fronts = (await Promise.all(FRONTS.map(open))).flat();
    await put(accountPolicy(callers("front")));
    await areOver(plain, t);
    await areAlive(fronts);
    await rig.serves(...FRONTS);
  });

  test("a NetworkPolicy that forbids it ends what the kernel forwards, and what workers do", async (t) => {
    const connections = (await Promise.all([PLAIN, FRONTS[0], FRONTS[1]].map(open))).flat();
    const others = (await Promise.all(BATCHES.map(open))).flat();
    const keep = { spare: "yes" };
    await rig.people(Object.fromEntries(BATCHES.map((pod) => [pod, { labels: keep }])));
    await put(networkPolicy(keep));
    await areOver(connections, t);
    await areAlive(others);
    await rig.serves(...BATCHES);
  });

  test("a pod's label changes", async (t) => {
    await rig.hold(networkPolicy(CLIENTS));
    const connections = (await Promise.all([PLAIN, ...BATCHES].map(open))).flat();
    const gone = { labels: { app: "other" } };
    await rig.people(Object.fromEntries([PLAIN, ...BATCHES].map((pod) => [pod, gone])));
    await areOver(connections, t);
    await rig.serves(...FRONTS);
    await rig.people();
    await rig.serves(...PODS);
  });

  test("the namespace's label changes", async (t) => {
    const team = { namespaces: { matchLabels: { [TEAM]: "red" } } };
    await rig.hold(clusterPolicy("Baseline", { action: "Deny", from: [team] }));
    await rig.serves(...PODS);
    const connections = (await Promise.all(PODS.map(open))).flat();
    await rig.label({ [TEAM]: "red" });
    await areOver(connections, t);
    await rig.serves();
    await rig.label({});
    await rig.serves(...PODS);
  });

  test("F15: an address gets a pod of another account: it inherits nothing, nor do streams", async (t) => {
    await rig.hold(accountPolicy(callers("front")));
    await rig.serves(...FRONTS);
    const former = (await Promise.all(FRONTS.map(open))).flat();
    const turned = {
      ...Object.fromEntries(
        FRONTS.map((pod) => [pod, { serviceAccount: "batch", uid: `${pod}-2` }]),
      ),
      ...Object.fromEntries(
        BATCHES.map((pod) => [pod, { serviceAccount: "front", uid: `${pod}-2` }]),
      ),
    };
    await rig.people(turned);
    await areOver(former, t);
    await rig.serves(...BATCHES);
  });
});

async function isAlive(connection: OpenConnection, timeoutMs = 5_000): Promise<boolean> {
  return (await connection.say("still there?", timeoutMs)).kind === "reply";
}

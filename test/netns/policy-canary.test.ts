// The canary against the kernel: each kind of attack is stopped and proven so, again and again;
// where somebody takes the rules away, that shows.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Manifest,
  namespaceObject,
  podObject,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { PolicyRig } from "./policy-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const AGE = "innermesh_enforcement_proven_age_seconds";
const FAILURES = "innermesh_canary_failures_total";
const KINDS = ["spoofed-source", "plaintext", "skipped-proxy", "denied"] as const;
const NODES = 2;
/** A round takes ten seconds. */
const ROUNDS_WITHIN_MS = 120_000;
/** Rules are mended every ten seconds, and whenever something changes. */
const BREAK_EVERY_MS = 100;

/** What a pod hears of attacks. */
const COUNTER = `table inet heard {
  counter strangers {}
  chain input {
    type filter hook input priority -300;
    ip saddr 192.0.2.2 counter name strangers
    ip6 saddr 100::1 counter name strangers
  }
}`;

suite("a canary on each node", () => {
  let rig: PolicyRig;
  before(async () => {
    const flags = ["--policy-canary"];
    rig = await PolicyRig.build({ podsPerNode: 3, hasIdentities: true, flags });
    const pods = rig.pods.map(({ name, node, addresses }) => {
      // The first of each node is isolated, the second has a closed port, the third is strict.
      const labels = { app: name.replace(/^pod-\d+-/, "app-") };
      const place = { namespace: "shop", node, addresses: Object.values(addresses) };
      return podObject({ ...place, name, labels, ports: [] });
    });
    const strict = rig.pods.filter(({ name }) => name.endsWith("-3"));
    await rig.hold({
      namespaces: [namespaceObject("shop", {})],
      pods,
      policies: [ISOLATED, CLOSED, ...strict.map(({ name }) => strictAccount(name))],
    });
    await rig.ready();
    for (const { netns } of rig.pods) await run(netns, "nft", COUNTER);
    const strictPath = "net.ipv4.conf.all.rp_filter=1";
    await run(rig.playground.node(2).netns, "sysctl", "-qw", strictPath);
  });
  after(() => rig?.[Symbol.asyncDispose]());

  async function run(netns: string, ...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await rig.playground.exec(netns, argv);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  /** Of all pods that strangers attack on a node, which were reached. */
  async function reached(node: number): Promise<readonly string[]> {
    const pods = rig.pods.filter((pod) => pod.node === rig.playground.node(node).name);
    const counts = await Promise.all(
      pods.map(({ netns }) => run(netns, "nft", "list counter inet heard strangers")),
    );
    return pods.flatMap(({ name }, at) => (counts[at]?.includes("packets 0 ") ? [] : [name]));
  }

  /** On both nodes a proof is younger than one before it was. */
  async function isProven(kind: string): Promise<void> {
    const oldest = Array.from({ length: NODES }, () => 0);
    const isRenewed = async (): Promise<boolean> => {
      const ages = await rig.metric(AGE, `attack="${kind}"`);
      if (ages.length < NODES) return false;
      for (const [at, age] of ages.entries()) oldest[at] = Math.max(oldest[at] ?? 0, age);
      return ages.every((age, at) => age < (oldest[at] ?? 0) - 1);
    };
    await until(`another proof that ${kind} is stopped`, isRenewed, ROUNDS_WITHIN_MS);
  }

  test("every kind of attack is proven to be stopped", async () => {
    await Promise.all(KINDS.map(isProven));
    assert.deepEqual(await rig.metric(FAILURES), []);
    assert.deepEqual([await reached(1), await reached(2)], [[], []]);
  });

  test("attacks that get through are told, until they are stopped again", async () => {
    const { netns } = rig.playground.node(1);
    const isTold = async (): Promise<boolean> =>
      (await rig.metric(FAILURES)).length === KINDS.length;
    const told = until("a failure of each kind", isTold, ROUNDS_WITHIN_MS);
    const over = new AbortController();
    const breaking = (async () => {
      while (!over.signal.aborted) {
        for (const family of FAMILIES) {
          await run(netns, "nft", `flush table ${family} innermesh-policy`);
        }
        await delay(BREAK_EVERY_MS);
      }
    })();
    await told.finally(() => over.abort());
    await breaking;
    const attacked = ["pod-1-1", "pod-1-2", "pod-1-3"];
    assert.deepEqual([await reached(1), await reached(2)], [attacked, []]);
    await Promise.all(KINDS.map(isProven));
  });
});

const ISOLATED: Manifest = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "shop", name: "isolated" },
  spec: {
    podSelector: { matchLabels: { app: "app-1" } },
    ingress: [{ from: [{ podSelector: {} }] }],
  },
};

const CLOSED: Manifest = {
  apiVersion: "innermesh.io/v1alpha1",
  kind: "ServiceAccountPolicy",
  metadata: { namespace: "shop", name: "closed" },
  spec: {
    podSelector: { matchLabels: { app: "app-2" } },
    action: "Allow",
    ingress: [
      {
        from: [{ serviceAccounts: [{ name: "pod-1-1" }] }],
        ports: [{ protocol: "TCP", port: 80 }],
      },
    ],
  },
};

function strictAccount(name: string): Manifest {
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { namespace: "shop", name, labels: { "innermesh.io/identity": "strict" } },
  };
}

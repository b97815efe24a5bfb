import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PodChange } from "../evaluate/pod-ledger.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import { sampleSet } from "../evaluate/sample-set.ts";
import { type PodSets, PolicyPods } from "./policy-pods.ts";
import { samplePod } from "./sample-cluster.ts";

const WEB = sampleSet({ id: "web" });
const DB = sampleSet({ id: "db" });

/** Sets by ServiceAccount. */
class SampleIndex implements PodSets {
  changes: readonly PodChange[] = [];
  others: readonly Pod[] = [];
  sets: Readonly<Record<string, PolicySet>> = { web: WEB, db: DB };

  setOf({ serviceAccount }: Pod, direction: "ingress" | "egress"): PolicySet | undefined {
    return direction === "ingress" ? this.sets[serviceAccount] : undefined;
  }
}

function started(...pods: readonly Pod[]) {
  const index = new SampleIndex();
  const kept = new PolicyPods({ nodeName: "node-1", trustDomain: "cluster.local" });
  const change = (...changes: readonly PodChange[]): readonly string[] => {
    index.changes = changes;
    return [...kept.update(index)].sort();
  };
  change(...pods.map((after) => ({ before: undefined, after })));
  const ids = (): readonly string[] => kept.sets.map(({ id }) => id).sort();
  return { index, kept, change, ids };
}

const SAME = { name: "a", addresses: ["10.0.0.1"] };
const web = samplePod(SAME);
const far = samplePod({
  name: "b",
  node: "node-2",
  addresses: ["10.0.0.2"],
  serviceAccount: "db",
});

test("every address has its pod's sets, and those of this node say so", () => {
  const { kept, ids } = started(web, far);
  const identity = (account: string) => `spiffe://cluster.local/ns/shop/sa/${account}`;
  assert.deepEqual(Object.fromEntries(kept.faces), {
    "10.0.0.1": { uid: "uid-a", identity: identity("web"), ingress: "web", isLocal: true },
    "10.0.0.2": { uid: "uid-b", identity: identity("db"), ingress: "db" },
  });
  assert.deepEqual([...kept.local], [web]);
  assert.deepEqual(ids(), ["db", "web"]);
});

test("a change touches its own addresses alone, and a set goes with the last pod that has it", () => {
  const { kept, change, ids } = started(web, far);
  const before = kept.sets;
  const moved = samplePod({ name: "a", addresses: ["10.0.0.3"] });
  assert.deepEqual(change({ before: web, after: moved }), ["10.0.0.1", "10.0.0.3"]);
  assert.deepEqual([...kept.faces.keys()].sort(), ["10.0.0.2", "10.0.0.3"]);
  assert.deepEqual([...kept.local], [moved]);
  assert.deepEqual(ids(), ["db", "web"]);
  assert.deepEqual(change({ before: far, after: undefined }), ["10.0.0.2"]);
  assert.deepEqual(ids(), ["web"]);
  assert.notEqual(kept.sets, before);
  assert.deepEqual(change(), []);
});

test("an address that two pods claim has no sets until one is left", () => {
  const { kept, change } = started(web, far);
  const thief = samplePod({ name: "c", addresses: ["10.0.0.1"], serviceAccount: "db" });
  change({ before: undefined, after: thief });
  assert.equal(kept.faces.has("10.0.0.1"), false);
  assert.deepEqual(kept.owners.contested.get("10.0.0.1"), [web, thief]);
  change({ before: web, after: undefined });
  assert.equal(kept.faces.get("10.0.0.1")?.ingress, "db");
});

test("pods that have other sets are looked at again, and nobody else is", () => {
  const { index, kept, change, ids } = started(web, far);
  index.sets = { web: DB };
  index.others = [web];
  assert.deepEqual(change(), ["10.0.0.1"]);
  assert.equal(kept.faces.get("10.0.0.1")?.ingress, "db");
  assert.equal(kept.faces.get("10.0.0.2")?.ingress, "db");
  index.others = [far];
  assert.deepEqual(change(), ["10.0.0.2"]);
  assert.equal(kept.faces.get("10.0.0.2")?.ingress, undefined);
  assert.deepEqual(ids(), ["db"]);
});

test("a pod that runs as another ServiceAccount is another, whatever else stays", () => {
  const { index, kept, change } = started(web);
  index.sets = { db: WEB, web: WEB };
  change({ before: web, after: samplePod({ ...SAME, serviceAccount: "db" }) });
  assert.equal(kept.faces.get("10.0.0.1")?.identity, "spiffe://cluster.local/ns/shop/sa/db");
});

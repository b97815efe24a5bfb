// Program: asks the evaluator about flows, of sets of several kinds and of a whole cluster, and
// prints one JSON object: nanoseconds of processor time a verdict, by kind.

import assert from "node:assert/strict";
import { makeStore } from "../lib/kube/store.ts";
import { judge } from "../netpol-identity/evaluate/judge.ts";
import { PolicyIndex } from "../netpol-identity/evaluate/policy-index.ts";
import type {
  Groups,
  PolicySet,
  SetPeers,
  SetRule,
} from "../netpol-identity/evaluate/policy-set.ts";
import {
  sampleGroups,
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../netpol-identity/evaluate/sample-set.ts";
import type { Flow } from "../netpol-identity/evaluate/verdict.ts";
import type { JudgeCosts } from "./policy-report.ts";
import { addressesOf, PolicyWorld } from "./policy-world.ts";
import { median } from "./statistics.ts";

const ROUNDS = 9;
const VERDICTS = 100_000;
const FLOWS = 2_000;
/** Primes: pairs of pods all over the cluster. */
const FROM = 7_907;
const TO = 6_007;

interface Asked {
  readonly set: PolicySet | undefined;
  readonly flow: Flow;
  readonly groups: Groups;
}

const costs: JudgeCosts = Object.fromEntries(
  Object.entries({ ...crafted(), ...cluster(10_000, 500) }).map(([kind, asked]) => [
    kind,
    nsPerVerdict(asked),
  ]),
);
process.stdout.write(`${JSON.stringify(costs)}\n`);

function nsPerVerdict(asked: readonly Asked[]): number {
  let allowed = 0;
  const round = (): number => {
    const before = process.cpuUsage();
    for (let i = 0; i < VERDICTS; i++) {
      const one = asked[i % asked.length];
      if (one !== undefined && judge(one.set, one.flow, one.groups).kind === "allow") allowed++;
    }
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1_000) / VERDICTS;
  };
  round();
  const result = median(Array.from({ length: ROUNDS }, round));
  assert(allowed > 0, "nobody is allowed anything");
  return result;
}

/** Flows between pods of a cluster, half of them to a port that policies open. */
function cluster(pods: number, policies: number): Readonly<Record<string, readonly Asked[]>> {
  const store = makeStore([]);
  new PolicyWorld(store, { pods, policies });
  const index = new PolicyIndex({ trustDomain: "cluster.local" });
  index.update(store, () => false);
  const all = [...store.pods.values()];
  const asked = (direction: "ingress" | "egress"): readonly Asked[] =>
    Array.from({ length: FLOWS }, (_, i) => {
      const pod = all[(i * TO) % pods] ?? assert.fail("no pod");
      // Every other one is of the pod's own namespace.
      const peer = i % 2 === 0 ? (i * TO + 50 * i) % pods : (i * FROM) % pods;
      const [address] = addressesOf(peer);
      const port = i % 4 < 3 ? 8080 : 22;
      const flow = { protocol: "TCP", port, address, identity: null } as const;
      return { set: index.setOf(pod, direction), flow, groups: index.groups };
    });
  const size = `${pods.toLocaleString("en-US")} pods × ${policies} policies`;
  return { [`${size}, ingress`]: asked("ingress"), [`${size}, egress`]: asked("egress") };
}

function crafted(): Readonly<Record<string, readonly Asked[]>> {
  const many = Array.from({ length: 5_000 }, (_, i) => addressesOf(i)[0]);
  const accounts = Array.from({ length: 100 }, (_, i) => identity(i));
  const groups = sampleGroups({ many, accounts });
  const blocks = Array.from({ length: 50 }, (_, i) => ({ cidr: `192.${i}.0.0/16`, except: [] }));
  const toEach = (address: string, who: string | null, ...rules: readonly SetRule[]) => {
    const flow = { protocol: "TCP", port: 80, address, identity: who } as const;
    return [{ set: sampleSet({ network: sampleList(...rules) }), flow, groups }];
  };
  const among = samplePeers({ groups: ["many"] });
  const within = samplePeers({ blocks });
  const proven = samplePeers({ identities: ["accounts"] });
  return {
    "no policy": [{ ...toEach("10.64.0.1", null)[0], set: undefined } as Asked],
    "1 group of 5,000": toEach("10.64.3.7", null, ruleOf("a", among)),
    "50 blocks, the last matches": toEach("192.49.0.1", null, ruleOf("b", within)),
    "50 rules, the last matches": toEach(
      "10.64.3.7",
      null,
      ...Array.from({ length: 49 }, (_, i) =>
        ruleOf(`r${i}`, samplePeers({ groups: [`none-${i}`] })),
      ),
      ruleOf("last", among),
    ),
    "100 identities": toEach("10.64.3.7", identity(7), ruleOf("c", proven)),
  };
}

function identity(number: number): string {
  return `spiffe://cluster.local/ns/ns-${number}/sa/web`;
}

function ruleOf(name: string, peers: SetPeers): SetRule {
  return sampleRule({ name, peers, ports: [{ protocol: "TCP", first: 80, last: 80 }] });
}

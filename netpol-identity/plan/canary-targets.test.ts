import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Attack,
  type AttackKind,
  type CanaryWorld,
  planAttacks,
  STRANGERS,
} from "./canary-targets.ts";
import {
  sampleGroups,
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../evaluate/sample-set.ts";

const ISOLATED = sampleSet({ network: sampleList(sampleRule({ ports: [port(9), port(80)] })) });
const PROVEN = sampleSet({
  account: sampleList(sampleRule({ peers: samplePeers({ identities: ["front"] }) })),
  provenPorts: [{ protocol: "UDP", first: 1, last: 2 }, port(15_008), port(443)],
});

function port(number: number) {
  return { protocol: "TCP", first: number, last: number } as const;
}

function world(parts: Partial<CanaryWorld> = {}): CanaryWorld {
  const pods = (parts.pods ?? []).flatMap(({ addresses }) => addresses);
  return { pods: [], groups: sampleGroups({}), strict: [], bound: new Set(pods), ...parts };
}

function ofKind(kind: AttackKind, asked: CanaryWorld, turn = 0): readonly Omit<Attack, "kind">[] {
  return planAttacks(asked, turn).flatMap(({ kind: found, ...rest }) =>
    found === kind ? [rest] : [],
  );
}

test("a node without pods attacks nobody", () => {
  assert.deepEqual(planAttacks(world(), 0), []);
});

test("where no policy says anything, only senders are spoofed", () => {
  const asked = world({ pods: [{ addresses: ["10.0.0.1"] }] });
  assert.deepEqual(
    planAttacks(asked, 0).map(({ kind }) => kind),
    ["spoofed-source"],
  );
});

test("one pod's address is spoofed towards another, of the same family", () => {
  const asked = world({ bound: new Set(["10.0.0.1", "10.0.0.2", "fd00::1"]) });
  const way = { family: "ip", port: 9 };
  const other = { family: "ip6", port: 9, source: "fd00::1", destination: "fd00::1" };
  assert.deepEqual(ofKind("spoofed-source", asked), [
    { ...way, source: "10.0.0.2", destination: "10.0.0.1" },
    other,
  ]);
  assert.deepEqual(ofKind("spoofed-source", asked, 1), [
    { ...way, source: "10.0.0.1", destination: "10.0.0.2" },
    other,
  ]);
});

test("strict pods get plaintext from an address that nobody has", () => {
  const bound = new Set(["10.0.0.1", "fd00::1"]);
  const asked = world({ bound, strict: ["10.0.0.1", "fd00::1"] });
  assert.deepEqual(ofKind("plaintext", asked), [
    { family: "ip", source: STRANGERS.ip, destination: "10.0.0.1", port: 9 },
    { family: "ip6", source: STRANGERS.ip6, destination: "fd00::1", port: 9 },
  ]);
});

test("a port that only workers open is called directly: over TCP, and not the tunnels' own", () => {
  const asked = world({ pods: [{ addresses: ["10.0.0.1"], ingress: PROVEN }] });
  assert.deepEqual(ofKind("skipped-proxy", asked), [
    { family: "ip", source: STRANGERS.ip, destination: "10.0.0.1", port: 443 },
  ]);
});

test("a port is called that policies keep the stranger from, and that workers do not open", () => {
  const asked = world({ pods: [{ addresses: ["10.0.0.1"], ingress: ISOLATED }] });
  assert.deepEqual(
    ofKind("denied", asked).map((attack) => attack.port),
    [443],
  );
  const open = sampleSet({ network: sampleList(sampleRule()) });
  assert.deepEqual(
    ofKind("denied", world({ pods: [{ addresses: ["10.0.0.1"], ingress: open }] })),
    [],
  );
  const closed = {
    ...ISOLATED,
    provenPorts: [{ protocol: "TCP", first: 1, last: 65_535 }],
  } as const;
  const proven = world({ pods: [{ addresses: ["10.0.0.1"], ingress: closed }] });
  assert.deepEqual(ofKind("denied", proven), []);
});

test("pods whose interface is not known are left alone", () => {
  const pods = [{ addresses: ["10.0.0.1"], ingress: ISOLATED }];
  assert.deepEqual(planAttacks(world({ pods, strict: ["10.0.0.1"], bound: new Set() }), 0), []);
});

test("each turn attacks another pod", () => {
  const pods = ["10.0.0.1", "10.0.0.2"].map((one) => ({ addresses: [one], ingress: ISOLATED }));
  const attacked = [0, 1, 2].map((turn) => ofKind("denied", world({ pods }), turn)[0]?.destination);
  assert.deepEqual(attacked, ["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
});

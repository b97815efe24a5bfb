// What becomes of denied packets that the kernel tells of: the rule found again, a line, a word on
// the pod, a bounded memory.

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import type { LoggedPacket } from "../../lib/netlink/packet-log-codec.ts";
import { PolicyIndex } from "../evaluate/policy-index.ts";
import { SamplePolicies } from "../evaluate/sample-policies.ts";
import type { CalledService } from "./address-book.ts";
import { DenialLog } from "./denial-log.ts";

const FRONT = "spiffe://cluster.local/ns/shop/sa/front";

class Rig {
  readonly clock = makeFakeClock(1_000_000);
  readonly lines: Record<string, unknown>[] = [];
  readonly told: string[] = [];
  readonly log: DenialLog;
  called: CalledService | undefined;
  identities: Readonly<Record<string, string>> = {};

  constructor(fill: (objects: SamplePolicies) => void) {
    const objects = new SamplePolicies();
    objects.namespace("shop");
    objects.pod("shop/front", { addresses: ["10.0.0.1"], account: "front" });
    objects.pod("shop/pay", { addresses: ["10.0.0.9"], labels: { app: "pay" } });
    fill(objects);
    const index = new PolicyIndex({ trustDomain: "cluster.local" });
    index.update(objects.store, () => true);
    const pods = new Map<string, Pod>(
      Array.from(objects.store.pods.values(), (pod) => [pod.addresses[0] ?? "", pod]),
    );
    const destination = { write: (line: string) => void this.lines.push(JSON.parse(line)) };
    this.log = new DenialLog({
      nodeName: "node-1",
      index,
      book: {
        pods,
        calledAt: () => this.called,
        addressOf: () => "10.96.0.1",
      },
      identityOf: (address) => this.identities[address] ?? null,
      clock: this.clock,
      log: makeLogger({ level: "info", format: "json", destination }),
      onDenied: (pod, message) => this.told.push(`${pod.name}: ${message}`),
      ignored: new Set(["192.0.2.2"]),
    });
  }

  deny(packet: Partial<LoggedPacket> = {}): void {
    this.log.add({
      prefix: "denied-in",
      source: "10.0.0.1",
      destination: "10.0.0.9",
      protocol: 6,
      sourcePort: 4_000,
      destinationPort: 80,
      ...packet,
    });
  }

  rules(): readonly string[] {
    return this.log.report().denials.map(({ rule }) => rule);
  }
}

const closedIn = (objects: SamplePolicies): void =>
  objects.networkPolicy("shop/closed", { podSelector: {}, policyTypes: ["Ingress", "Egress"] });

test("a denial is told with its pods and the rule, on the pod that is selected", () => {
  const rig = new Rig(closedIn);
  rig.deny();
  const rule = "no rule of NetworkPolicy shop/closed matches";
  assert.deepEqual(rig.log.report(), {
    node: "node-1",
    denials: [
      {
        atMs: 1_000_000,
        by: "kernel",
        direction: "ingress",
        rule,
        protocol: "TCP",
        source: "10.0.0.1",
        sourcePort: 4_000,
        destination: "10.0.0.9",
        port: 80,
        sourcePod: "shop/front",
        destinationPod: "shop/pay",
        packets: 1,
      },
    ],
  });
  assert.deepEqual(rig.told, [`pay: ingress shop/front → shop/pay port 80/TCP: ${rule}`]);
  const [line] = rig.lines;
  assert.deepEqual(
    [line?.["message"], line?.["rule"], line?.["direction"]],
    ["denied", rule, "ingress"],
  );
  rig.deny({ prefix: "denied-out", sourcePort: 4_001 });
  assert.match(rig.told.join(), /front: egress/);
});

test("packets of one connection are one denial, and one line a minute stands for a pair", async () => {
  const rig = new Rig(closedIn);
  for (let i = 0; i < 3; i++) rig.deny();
  rig.deny({ sourcePort: 4_001 });
  assert.deepEqual(
    rig.log.report().denials.map(({ packets }) => packets),
    [3, 1],
  );
  assert.equal(rig.lines.length, 1);
  await rig.clock.advance(60_000);
  rig.deny();
  assert.equal(rig.lines.length, 2);
});

test("a flood from many addresses is told by its number", async () => {
  const rig = new Rig(closedIn);
  for (let i = 0; i < 200; i++) rig.deny({ source: `9.9.9.${i}` });
  assert.equal(rig.lines.length, 60);
  await rig.clock.advance(60_000);
  rig.deny();
  assert.deepEqual(rig.lines.at(-2)?.["times"], 140);
});

test("the last thousand are kept", () => {
  const rig = new Rig(closedIn);
  for (let port = 1; port <= 1_500; port++) rig.deny({ sourcePort: port });
  const ports = rig.log.report().denials.map(({ sourcePort }) => sourcePort);
  assert.deepEqual([ports.length, ports[0], ports.at(-1)], [1_000, 501, 1_500]);
});

test("a scanner hides neither what is kept of others nor that they are told", () => {
  const rig = new Rig((objects) => {
    closedIn(objects);
    objects.pod("shop/scan", { addresses: ["10.0.0.66"] });
  });
  rig.deny({ destinationPort: 443 });
  for (let port = 1; port <= 2_000; port++) {
    rig.deny({ source: "10.0.0.66", destinationPort: port });
    rig.deny({ source: `9.9.${port >> 8}.${port & 255}`, destinationPort: port });
  }
  rig.deny();
  const kept = rig.log.report().denials.filter(({ sourcePod }) => sourcePod === "shop/front");
  assert.deepEqual(
    kept.map(({ port }) => port),
    [443, 80],
  );
  const told = (caller: string | undefined): number =>
    rig.lines.filter(({ sourcePod }) => sourcePod === caller).length;
  assert.equal(rig.lines.length, 60);
  assert.deepEqual([told("shop/front"), told("shop/scan") + told(undefined)], [1, 59]);
});

test("whoever is denied for the first time in a minute is told, though others took it up", async () => {
  const rig = new Rig((objects) => {
    closedIn(objects);
    for (let i = 0; i < 300; i++) {
      objects.pod(`shop/late-${i}`, { addresses: [`10.1.${i >> 8}.${i & 255}`] });
    }
  });
  for (let port = 1; port <= 500; port++) rig.deny({ destinationPort: port });
  assert.equal(rig.lines.length, 60);
  rig.deny({ source: "10.1.0.0" });
  rig.deny({ source: "10.1.0.0", destinationPort: 81 });
  assert.deepEqual([rig.lines.length, rig.lines.at(-1)?.["sourcePod"]], [61, "shop/late-0"]);
  for (let i = 0; i < 300; i++) rig.deny({ source: `10.1.${i >> 8}.${i & 255}` });
  assert.equal(rig.lines.length, 300);
  await rig.clock.advance(60_000);
  rig.deny({ source: "10.1.0.0", destinationPort: 81 });
  assert.equal(rig.lines.at(-1)?.["port"], 81);
});

test("who calls an enrolled pod is judged by what both will prove", () => {
  const rig = new Rig((objects) =>
    objects.accountPolicy("shop/no-front", {
      podSelector: { matchLabels: { app: "pay" } },
      action: "Deny",
      ingress: [{ from: [{ serviceAccounts: [{ name: "front" }] }] }],
    }),
  );
  rig.deny();
  rig.identities = { "10.0.0.1": FRONT, "10.0.0.9": "spiffe://cluster.local/ns/shop/sa/pay" };
  rig.deny({ sourcePort: 4_001 });
  assert.deepEqual(rig.rules(), [
    "its port needs a certificate",
    "ServiceAccountPolicy shop/no-front ingress[0]",
  ]);
});

test("where nothing denies it any more, or yet, the reason says so", () => {
  const rig = new Rig(() => {});
  rig.deny();
  rig.deny({ prefix: "denied-proven", sourcePort: 1 });
  rig.deny({ prefix: "denied-held", destination: "10.0.0.77" });
  rig.deny({ protocol: 47, sourcePort: 0, destinationPort: 0 });
  assert.deepEqual(rig.rules(), [
    "a policy that holds no more, or not yet",
    "rules about identities or requests close its port",
    "no pod is known to have the address yet",
    "a policy that holds no more, or not yet",
  ]);
  assert.equal(rig.log.report().denials.at(-1)?.protocol, "47");
});

test("whom the gate of a lane leaves out is told why each endpoint is closed to it", () => {
  const gate = { prefix: "denied-lane", destination: "10.96.0.1", destinationPort: 8_080 } as const;
  const called = { name: "shop/pay", endpoints: [{ address: "10.0.0.9", port: 80 }] };
  const only = (policyTypes: readonly string[]): Rig => {
    const rig = new Rig((objects) =>
      objects.networkPolicy("shop/closed", { podSelector: {}, policyTypes }),
    );
    rig.called = called;
    rig.deny(gate);
    return rig;
  };
  const rule = "no rule of NetworkPolicy shop/closed matches";
  const into = only(["Ingress"]);
  const [denial] = into.log.report().denials;
  assert.deepEqual(
    [denial?.by, denial?.direction, denial?.service, denial?.destination, denial?.port],
    ["gate", "ingress", "shop/pay", "10.96.0.1", 8_080],
  );
  assert.equal(denial?.rule, `no endpoint of Service shop/pay admits it: ${rule}`);
  assert.match(into.told.join(), /^pay: ingress shop\/front → shop\/pay port 8080/);
  const out = only(["Egress"]);
  assert.deepEqual(out.rules(), [rule]);
  assert.match(out.told.join(), /^front: egress/);
  const open = new Rig(() => {});
  open.called = called;
  open.deny(gate);
  open.called = undefined;
  open.deny({ ...gate, sourcePort: 1 });
  assert.deepEqual(open.rules(), [
    "no endpoint of Service shop/pay admits it",
    "no endpoint of the Service admits it",
  ]);
});

test("what workers denied is told with its request, each time counted", () => {
  const rig = new Rig(closedIn);
  const rule = "ServiceAccountPolicy shop/readers ingress[0]";
  const request = {
    client: "10.0.0.7",
    endpoint: { address: "10.0.0.9", port: 80 },
    rule,
    method: "GET",
    path: "/cards",
    times: 3,
  };
  rig.log.addDenied([request, request]);
  const [denial] = rig.log.report().denials;
  assert.deepEqual(
    [denial?.by, denial?.direction, denial?.rule, denial?.packets],
    ["worker", "ingress", rule, 6],
  );
  assert.deepEqual([denial?.method, denial?.path], ["GET", "/cards"]);
  assert.equal(denial?.destinationPod, "shop/pay");
  assert.equal(rig.told.length, 1);
});

test("where a worker found nobody, the Service is named, and the client's own policy", () => {
  const rig = new Rig(closedIn);
  const rule = "no rule of NetworkPolicy shop/closed matches";
  rig.log.addDenied([{ client: "10.0.0.1", service: "shop/pay:8080", rule, times: 1 }]);
  const [denial] = rig.log.report().denials;
  assert.deepEqual(
    [denial?.service, denial?.destination, denial?.port, denial?.direction],
    ["shop/pay", "10.96.0.1", 8_080, "egress"],
  );
});

test("nobody hears of senders that are to be ignored", () => {
  const rig = new Rig((objects) => objects.networkPolicy("shop/closed", { podSelector: {} }));
  rig.deny({ source: "192.0.2.2" });
  assert.deepEqual([rig.log.report().denials, rig.lines, rig.told], [[], [], []]);
});

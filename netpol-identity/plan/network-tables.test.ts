// Packets through the planned tables, against what the evaluator says of the same flows.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { base } from "../../lib/nft/rule-parts.ts";
import { wholeTable } from "../../lib/nft/table-plan.ts";
import { tracePacket, type TracePacket } from "../../lib/nft/trace.ts";
import { judge } from "../evaluate/judge.ts";
import type { Groups, PolicySet, SetRule } from "../evaluate/policy-set.ts";
import { coversPort } from "../evaluate/rule-match.ts";
import {
  sampleGroups,
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../evaluate/sample-set.ts";
import type { Flow } from "../evaluate/verdict.ts";
import { DENIED_COUNTERS, JUDGE_DIRECT, NetworkPlanner } from "./network-tables.ts";
import type { NetworkWorld } from "./network-world.ts";
import { planPolicyTables } from "./policy-table.ts";
import { chainOf, POLICY_TABLE } from "./policy-table-parts.ts";
import { sampleNetwork } from "./sample-network-world.ts";
import { sampleWorld } from "./sample-policy-world.ts";

const POD = "10.71.1.2";
const FRIEND = "10.71.2.2";
const STRANGER = "198.51.100.7";
const FRIENDS = samplePeers({ groups: ["friends"] });
const TO_80 = [{ protocol: "TCP", first: 80, last: 80 }] as const;

type Asked = Pick<TracePacket, "source" | "destination" | "protocol" | "destinationPort">;

/** Whether the kernel lets a flow begin, and the counter that saw it if not. */
async function pass(network: NetworkWorld, flows: readonly Asked[]): Promise<readonly string[]> {
  // Nobody is enrolled: the doors of workers have tests of their own.
  const world = { ...sampleWorld(), pods: [], peers: [], bindings: [], network };
  const kernel = makeFakeKernel();
  const tables = planPolicyTables(world).slice(0, 2);
  await kernel.commit(tables.flatMap(wholeTable));
  return flows.map((flow) => {
    const family: Family = flow.source.includes(":") ? "ip6" : "ip";
    const table = kernel.table(family, POLICY_TABLE) ?? assert.fail();
    const node = { localAddresses: new Set<string>(), random: () => 0 };
    const { verdict, steps } = tracePacket(table, { ...flow, interface: "eth0" }, node);
    const { chain = "" } = steps.at(-1) ?? {};
    return verdict === "drop" ? chain : verdict;
  });
}

const flow = (
  source: string,
  destinationPort: number,
  protocol: "tcp" | "udp" | "icmp" = "tcp",
) => ({
  source,
  destination: POD,
  protocol,
  destinationPort,
});

function worldOf(ingress: PolicySet, groups: Groups = GROUPS): NetworkWorld {
  return {
    pods: [{ addresses: [POD], ingress }],
    gates: [],
    groups,
    carriers: () => new Set(),
    hold: false,
    podCidrs: [],
  };
}

const GROUPS = sampleGroups({ friends: [FRIEND] });

test("what an administrator denies no policy allows, and what one accepts none denies", async () => {
  const set = sampleSet({
    admin: [
      sampleRule({ action: "deny", peers: FRIENDS, ports: TO_80 }),
      sampleRule({ action: "accept", peers: FRIENDS }),
    ],
    network: sampleList(sampleRule({ ports: TO_80 })),
  });
  const asked = [flow(FRIEND, 80), flow(FRIEND, 81), flow(STRANGER, 80), flow(STRANGER, 81)];
  assert.deepEqual(await pass(worldOf(set), asked), ["denied-in", "accept", "accept", "denied-in"]);
});

test("a pass leaves the administrators' rules to policies, or to the baseline", async () => {
  const admin = [sampleRule({ action: "pass", peers: FRIENDS }), sampleRule({ action: "deny" })];
  const listed = sampleSet({ admin, network: sampleList(sampleRule({ ports: TO_80 })) });
  const based = sampleSet({ admin, baseline: [sampleRule({ action: "deny", ports: TO_80 })] });
  const asked = [flow(FRIEND, 80), flow(FRIEND, 81), flow(STRANGER, 80)];
  assert.deepEqual(await pass(worldOf(listed), asked), ["accept", "denied-in", "denied-in"]);
  assert.deepEqual(await pass(worldOf(based), asked), ["denied-in", "accept", "denied-in"]);
});

test("where two kinds of policies select a pod, each must allow", async () => {
  const set = sampleSet({
    network: sampleList(sampleRule({ peers: FRIENDS })),
    account: sampleList(sampleRule({ ports: TO_80 })),
  });
  const asked = [flow(FRIEND, 80), flow(FRIEND, 81), flow(STRANGER, 80)];
  assert.deepEqual(await pass(worldOf(set), asked), ["accept", "denied-in", "denied-in"]);
});

test("echo requests pass where a rule names no port", async () => {
  const set = sampleSet({
    network: sampleList(sampleRule({ peers: FRIENDS }), sampleRule({ ports: TO_80 })),
  });
  const asked = [flow(FRIEND, 0, "icmp"), flow(STRANGER, 0, "icmp"), flow(STRANGER, 80)];
  assert.deepEqual(await pass(worldOf(set), asked), ["accept", "denied-in", "accept"]);
});

test("a port that needs a certificate is closed, whoever comes", async () => {
  const account = sampleList(
    sampleRule({ peers: samplePeers({ identities: ["web"] }), ports: TO_80 }),
    sampleRule({ peers: FRIENDS }),
  );
  const set = sampleSet({ account });
  const asked = [flow(FRIEND, 80), flow(FRIEND, 81), flow(STRANGER, 81)];
  assert.deepEqual(await pass(worldOf(set), asked), ["denied-proven", "accept", "denied-in"]);
});

test("a pod reaches itself through a Service, unless an administrator denies it", async () => {
  const set = sampleSet({ network: sampleList(), provenPorts: TO_80 });
  const closed = { ...set, admin: [sampleRule({ action: "deny" })] };
  assert.deepEqual(await pass(worldOf(set), [flow(POD, 80)]), ["accept"]);
  assert.deepEqual(await pass(worldOf(closed), [flow(POD, 80)]), ["denied-in"]);
});

test("while a pod is awaited, nobody speaks with an address that nobody is known to have", async () => {
  const network = { ...worldOf(sampleSet()), podCidrs: ["10.71.1.0/24"] };
  const asked = [flow(STRANGER, 80), flow("10.71.1.9", 80)];
  assert.deepEqual(await pass(network, asked), ["accept", "accept"]);
  assert.deepEqual(await pass({ ...network, hold: true }, asked), ["accept", "denied-held"]);
  const to = { ...flow(STRANGER, 80), destination: "10.71.1.9" };
  assert.deepEqual(await pass({ ...network, hold: true }, [to]), ["denied-held"]);
});

test("denials are told where the kernel can", () => {
  const rules = (logGroup?: number): readonly string[] => {
    const network = { ...worldOf(sampleSet()), ...(logGroup !== undefined && { logGroup }) };
    const { chains } = new NetworkPlanner().plan("ip", network);
    const denied = chains.find(({ spec }) => spec.name === "denied-in");
    return denied?.rules.flatMap(({ rule }) => rule.map(({ kind }) => kind)) ?? [];
  };
  assert.deepEqual(rules(), ["count", "verdict"]);
  assert.deepEqual(rules(5), ["log", "count", "verdict"]);
});

test("a pod whose policies take too many lists is closed, and no other is", async () => {
  const twoBlocks = (i: number): SetRule => {
    const cidrs = [`10.9.${i & 255}.0/24`, `10.${100 + (i >> 8)}.${i & 255}.0/24`];
    return sampleRule({
      peers: samplePeers({ blocks: cidrs.map((cidr) => ({ cidr, except: [] })) }),
    });
  };
  const rules = Array.from({ length: 4_001 }, (_, i) => twoBlocks(i));
  const greedy = sampleSet({ network: sampleList(...rules, sampleRule()) });
  const modest = sampleSet({ network: sampleList(...rules.slice(0, 10), sampleRule()) });
  const pods = [
    { addresses: [POD], ingress: greedy },
    { addresses: [FRIEND], ingress: modest },
  ];
  const network = { ...sampleNetwork(), pods, gates: [], hold: false, groups: sampleGroups({}) };
  const flows = [flow(STRANGER, 80), { ...flow(STRANGER, 80), destination: FRIEND }];
  assert.deepEqual(await pass(network, flows), [DENIED_COUNTERS.in, "accept"]);
  const planner = new NetworkPlanner();
  planPolicyTables({ ...sampleWorld(), network }, planner);
  assert.deepEqual([...planner.closed], [greedy]);
  planPolicyTables({ ...sampleWorld(), network: { ...network, pods: pods.slice(1) } }, planner);
  assert.deepEqual([...planner.closed], []);
});

test("what has not changed is the same object in the next plan", () => {
  const planner = new NetworkPlanner();
  const world = sampleNetwork();
  const first = planner.plan("ip", world);
  const next = planner.plan("ip", { ...world, pods: world.pods.slice(0, 2) });
  const named = (name: string) =>
    [first, next].map(({ sets }) => sets.find((s) => s.spec.name === name));
  for (const name of ["g-friends", "c-callers", "policy-gate"]) {
    const [before, after] = named(name);
    assert.notEqual(before?.elements.size, 0);
    assert.equal(after?.elements, before?.elements, name);
  }
  const chains = new Map(next.chains.map((chain) => [chain.spec.name, chain]));
  const compiled = first.chains.filter(({ spec }) => /^(in|out|gate)-/.test(spec.name));
  assert(compiled.length > 5);
  for (const chain of compiled) assert.equal(chains.get(chain.spec.name), chain);
});

const ADDRESSES = [POD, FRIEND, STRANGER, "10.71.2.3", "10.9.0.1", "10.9.1.1"] as const;
const IDENTITIES = new Map([
  [FRIEND, "spiffe://cluster.local/ns/a/sa/web"],
  ["10.71.2.3", "spiffe://cluster.local/ns/a/sa/db"],
]);
const MANY = sampleGroups(
  { one: [FRIEND, "10.9.0.1"], two: ["10.71.2.3"], none: [] },
  { web: [IDENTITIES.get(FRIEND) ?? ""], all: ["spiffe://cluster.local/ns/*/sa/*"] },
);

function carriers(group: string): ReadonlySet<string> {
  return new Set(group === "all" ? IDENTITIES.keys() : [FRIEND]);
}

const anyPorts = fc.oneof(
  fc.constant("any" as const),
  fc.array(
    fc
      .tuple(fc.constantFrom("TCP", "UDP", "SCTP"), fc.integer({ min: 78, max: 84 }), fc.nat(3))
      .map(([protocol, first, more]) => ({ protocol, first, last: first + more }) as const),
    { minLength: 1, maxLength: 2 },
  ),
);
const anyPeers = fc.oneof(
  fc.constant("any" as const),
  fc.record({
    groups: fc.subarray(["one", "two", "none"]),
    blocks: fc.subarray([{ cidr: "10.9.0.0/16", except: ["10.9.1.0/24"] }]),
    identities: fc.subarray(["web", "all"], { maxLength: 1 }),
  }),
);
const anyRules = (...actions: readonly SetRule["action"][]) =>
  fc.array(
    fc.record({
      name: fc.constant("a rule"),
      action: fc.constantFrom(...actions),
      peers: anyPeers,
      ports: anyPorts,
    }),
    { maxLength: 3 },
  );
const anyList = fc.option(
  anyRules("accept").map((rules) => ({ rules, policies: ["a policy"] })),
  { nil: undefined },
);

/** Without rules about requests: those are for workers alone. */
const anySet = (direction: PolicySet["direction"]): fc.Arbitrary<PolicySet> =>
  fc
    .record({
      admin: anyRules("accept", "deny", "pass"),
      denies: anyRules("deny"),
      network: anyList,
      account: anyList,
      baseline: anyRules("accept", "deny", "pass"),
      otherwise:
        direction === "egress"
          ? fc.constantFrom("open" as const, "deny" as const)
          : fc.constantFrom("open" as const, "deny" as const, "identity-required" as const),
    })
    .map(({ network, account, ...rest }) =>
      sampleSet({ ...rest, direction, ...(network && { network }), ...(account && { account }) }),
    );
const anyFlow = fc.record({
  peer: fc.constantFrom(...ADDRESSES),
  protocol: fc.constantFrom("tcp", "udp", "icmp" as const),
  destinationPort: fc.integer({ min: 77, max: 89 }),
});

function flowOf(
  {
    peer,
    protocol,
    destinationPort,
  }: Pick<TracePacket, "protocol" | "destinationPort"> & {
    readonly peer: string;
  },
  identity: string | null,
): Flow {
  return {
    protocol: protocol.toUpperCase() as Flow["protocol"],
    port: protocol === "icmp" ? 0 : destinationPort,
    address: peer,
    identity,
    ...(peer === POD && { isSelf: true as const }),
  };
}

test("the kernel lets in what the evaluator allows without a certificate, but for closed ports", async () => {
  await fc.assert(
    fc.asyncProperty(
      anySet("ingress"),
      fc.array(anyFlow, { minLength: 20, maxLength: 40 }),
      async (set, flows) => {
        const asked = flows.map((f) => ({ ...f, source: f.peer, destination: POD }));
        const passed = await pass(worldOf(set, MANY), asked);
        for (const [i, one] of flows.entries()) {
          const own = flowOf(one, null);
          const { protocol, port } = own;
          const isClosed =
            !own.isSelf && protocol !== "ICMP" && coversPort(set.provenPorts, protocol, port);
          const allowed = !isClosed && judge(set, own, MANY).kind === "allow";
          assert.equal(passed[i] === "accept", allowed, `${JSON.stringify(one)}: ${passed[i]}`);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("the kernel lets out what the evaluator allows to whom the cluster knows", async () => {
  await fc.assert(
    fc.asyncProperty(
      anySet("egress"),
      fc.array(anyFlow, { minLength: 20, maxLength: 40 }),
      async (egress, flows) => {
        const network = {
          ...worldOf(sampleSet(), MANY),
          carriers,
          pods: [{ addresses: [POD], egress }],
        };
        const asked = flows.map((f) => ({ ...f, source: POD, destination: f.peer }));
        const passed = await pass(network, asked);
        for (const [i, one] of flows.entries()) {
          const own = flowOf(one, IDENTITIES.get(one.peer) ?? null);
          const allowed = judge(egress, own, MANY).kind === "allow";
          assert.equal(passed[i] === "accept", allowed, `${JSON.stringify(one)}: ${passed[i]}`);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** Whether the gate of a pod elsewhere lets a direct call of an enrolled pod of this node through. */
async function passGate(gate: PolicySet, flows: readonly Asked[]): Promise<readonly boolean[]> {
  const gates = [{ address: FRIEND, ingress: gate }];
  const network = { ...worldOf(sampleSet(), MANY), pods: [], carriers, gates };
  const { sets, chains } = new NetworkPlanner().plan("ip", network);
  const door = chainOf("ip", base("door", "filter", "prerouting", -149, JUDGE_DIRECT));
  const counters = Object.values(DENIED_COUNTERS);
  const place = { family: "ip", table: "t", comment: "" } as const;
  const kernel = makeFakeKernel();
  await kernel.commit(wholeTable({ ...place, counters, sets, chains: [door, ...chains] }));
  const table = kernel.table("ip", "t") ?? assert.fail();
  const node = { localAddresses: new Set<string>([FRIEND]), random: () => 0 };
  return flows.map(
    (one) => tracePacket(table, { ...one, interface: "veth" }, node).verdict === "accept",
  );
}

const identityOf = (address: string): string =>
  IDENTITIES.get(address) ?? "spiffe://cluster.local/ns/a/sa/pod";

test("a gate denies direct calls as a worker would by the caller's certificate", async () => {
  const anyCall = fc.record({
    source: fc.constantFrom("10.71.2.3", POD),
    destinationPort: fc.integer({ min: 77, max: 89 }),
  });
  // Every enrolled pod is in one of the groups.
  const groups = sampleGroups(
    { one: [FRIEND, "10.9.0.1"], two: ["10.71.2.3"], none: [] },
    { web: [identityOf(FRIEND)], all: [identityOf(FRIEND), identityOf("10.71.2.3")] },
  );
  await fc.assert(
    fc.asyncProperty(
      anySet("ingress"),
      fc.array(anyCall, { minLength: 10, maxLength: 20 }),
      async (set, calls) => {
        const asked = calls.map(
          (one) => ({ ...one, destination: FRIEND, protocol: "tcp" }) as const,
        );
        const passed = await passGate(set, asked);
        for (const [i, { source, destinationPort: port }] of calls.entries()) {
          const own = {
            protocol: "TCP",
            port,
            address: source,
            identity: identityOf(source),
          } as const;
          assert.equal(passed[i], judge(set, own, groups).kind === "allow", `${source} ${port}`);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("a gate leaves requests to the worker behind it", async () => {
  const get = [{ methods: ["GET"] }];
  const call = [
    { source: "10.71.2.3", destination: FRIEND, protocol: "tcp", destinationPort: 80 },
  ] as const;
  for (const [set, passes] of [
    [{ network: sampleList(sampleRule({ requests: get })) }, true],
    [{ denies: [sampleRule({ action: "deny", requests: get })] }, true],
    [{ admin: [sampleRule({ action: "pass", requests: get })], network: sampleList() }, true],
    [{ network: sampleList(sampleRule({ requests: get, peers: FRIENDS })) }, false],
  ] as const) {
    assert.deepEqual(await passGate(sampleSet(set), call), [passes], JSON.stringify(set));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cidrContains } from "../../lib/ip/cidr.ts";
import { judge } from "../evaluate/judge.ts";
import type { Groups, PolicySet, SetPeers, SetRule } from "../evaluate/policy-set.ts";
import {
  sampleGroups,
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../evaluate/sample-set.ts";
import {
  type GateAnswer,
  type GateQuestion,
  type GateSide,
  type GateWorld,
  LaneGate,
} from "./lane-gate.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const CART = "spiffe://cluster.local/ns/shop/sa/cart";
const AGENT = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";
const FREE: GateSide = { set: undefined, identity: null };

interface World {
  readonly pods: Readonly<Record<string, GateSide>>;
  readonly servers: Readonly<Record<string, GateSide>>;
  readonly groups: Groups;
}

/** A NetworkPolicy that admits these. */
function admits(...peers: readonly SetRule["peers"][]): PolicySet {
  return sampleSet({ network: sampleList(...peers.map((one) => sampleRule({ peers: one }))) });
}

function ofGroup(...groups: readonly string[]): SetPeers {
  return samplePeers({ groups });
}

function ofBlock(cidr: string, ...except: readonly string[]): SetPeers {
  return samplePeers({ blocks: [{ cidr, except }] });
}

function gateOf(world: World): LaneGate {
  const gate = new LaneGate();
  move(gate, world);
  return gate;
}

function move(gate: LaneGate, { pods, servers, groups: members }: World, touched?: Set<string>) {
  const world: GateWorld = {
    pods: new Map(Object.entries(pods)),
    server: (address) => servers[address] ?? FREE,
    nodeAddress: (family) => (family === "ip" ? NODE : undefined),
    nodeIdentity: AGENT,
    groups: members,
  };
  return gate.update(world, touched);
}

function to(...addresses: readonly string[]): GateQuestion {
  const endpoints = addresses.map((address) => ({ address, port: 80 }));
  return { inside: endpoints, outside: endpoints, isExternal: false };
}

function ask(gate: LaneGate, question: GateQuestion): GateAnswer {
  return gate.ask("shop/cart", "ip", [question])[0] ?? assert.fail("no answer");
}

const POD = "10.0.1.1";
const OTHER = "10.0.1.2";
const SERVER = "10.0.2.1";
const NODE = "192.0.2.1";
const NO_GROUPS = sampleGroups({});
const OPEN: GateAnswer = { isGuarded: false, pods: [], blocks: [], deniesNode: false };
const CLOSED: GateAnswer = { isGuarded: true, pods: [], blocks: [], deniesNode: true };

test("where no policy selects anybody, everybody may connect", () => {
  const gate = gateOf({ pods: { [POD]: FREE }, servers: {}, groups: NO_GROUPS });
  assert.deepEqual(ask(gate, to(SERVER)), OPEN);
  assert.deepEqual(gate.gatedPods("ip"), { all: [POD], isolated: [] });
  assert.deepEqual(gate.gatedPods("ip6"), { all: [], isolated: [] });
});

test("an endpoint that admits one pod leaves all others out, whoever they are", () => {
  const pods = { [POD]: FREE, [OTHER]: FREE };
  const servers = { [SERVER]: { set: admits(ofGroup("g")), identity: null } };
  const gate = gateOf({ pods, servers, groups: sampleGroups({ g: [POD] }) });
  assert.deepEqual(ask(gate, to(SERVER)), { ...CLOSED, pods: [POD] });
});

test("one endpoint that admits is enough", () => {
  const servers = { [SERVER]: { set: admits(), identity: null } };
  const gate = gateOf({ pods: { [POD]: FREE }, servers, groups: NO_GROUPS });
  assert.equal(ask(gate, to(SERVER, "10.0.2.2")).isGuarded, false);
  assert.equal(ask(gate, to(SERVER)).isGuarded, true);
});

test("nobody to be led to is no reason for silence", () => {
  const pods = { [POD]: { set: admits(), identity: null } };
  const gate = gateOf({ pods, servers: {}, groups: NO_GROUPS });
  assert.deepEqual(ask(gate, to()), { ...OPEN, pods: [POD] });
});

test("an endpoint that takes this node for the client admits whom it admits, or nobody", () => {
  const masqueraded = { address: SERVER, port: 80, isMasqueraded: true } as const;
  const question = { inside: [masqueraded], outside: [masqueraded], isExternal: true };
  const answer = (from: string, group: readonly string[]): GateAnswer => {
    const servers = { [SERVER]: { set: admits(ofBlock(from), ofGroup("g")), identity: null } };
    return ask(
      gateOf({ pods: { [POD]: FREE }, servers, groups: sampleGroups({ g: group }) }),
      question,
    );
  };
  assert.deepEqual(answer(`${NODE}/32`, []), OPEN);
  assert.deepEqual(answer("203.0.113.0/24", [POD]), CLOSED);
});

test("who calls through a tunnel is known to the endpoint, whatever address it comes from", () => {
  const masqueraded = { address: SERVER, port: 80, isMasqueraded: true } as const;
  const question = { inside: [masqueraded], outside: [], isExternal: true };
  const servers = { [SERVER]: { set: admits(ofGroup("g")), identity: CART } };
  const pods = { [POD]: { set: undefined, identity: WEB }, [OTHER]: FREE };
  const gate = gateOf({ pods, servers, groups: sampleGroups({ g: [POD, OTHER] }) });
  assert.deepEqual(ask(gate, question).pods, [POD]);
});

test("a pod restricted in whom it calls needs leave where others need none", () => {
  const pods = { [POD]: { set: admits(ofGroup("g")), identity: null }, [OTHER]: FREE };
  const gate = gateOf({ pods, servers: {}, groups: sampleGroups({ g: [SERVER] }) });
  assert.deepEqual(gate.gatedPods("ip"), { all: [POD, OTHER], isolated: [POD] });
  assert.deepEqual(ask(gate, to(SERVER)), { ...OPEN, pods: [POD] });
  assert.deepEqual(ask(gate, to("10.0.2.9")), OPEN);
});

test("what both sides say must hold for one endpoint", () => {
  const servers = {
    [SERVER]: { set: admits(ofGroup("in")), identity: null },
    "10.0.2.2": { set: admits(), identity: null },
  };
  const world = (called: string): World => ({
    pods: { [POD]: { set: admits(ofGroup("out")), identity: null } },
    servers,
    groups: sampleGroups({ in: [POD], out: [called] }),
  });
  assert.deepEqual(ask(gateOf(world(SERVER)), to(SERVER, "10.0.2.2")).pods, [POD]);
  assert.deepEqual(ask(gateOf(world("10.0.2.2")), to(SERVER, "10.0.2.2")).pods, []);
});

test("a rule about certificates admits pods that have them", () => {
  const identified = samplePeers({ identities: ["accounts"] });
  const servers = { [SERVER]: { set: admits(identified), identity: CART } };
  const pods = { [POD]: { set: undefined, identity: WEB }, [OTHER]: FREE };
  const gate = gateOf({ pods, servers, groups: sampleGroups({ accounts: [WEB] }) });
  assert.deepEqual(ask(gate, to(SERVER)), { ...CLOSED, pods: [POD] });
});

test("the node's own processes are kept from whom none of the endpoints elsewhere lets in", () => {
  const deniesNode = (set: PolicySet, identity: string | null, address = SERVER): boolean => {
    const members = sampleGroups({ agents: [AGENT], nodes: [NODE] });
    const servers = { [address]: { set, identity } };
    const world = { pods: { [POD]: FREE }, servers, groups: members };
    return ask(gateOf(world), to(address)).deniesNode;
  };
  const agents = admits(samplePeers({ identities: ["agents"] }));
  assert.equal(deniesNode(admits(), CART), true);
  assert.equal(deniesNode(admits(ofBlock(`${NODE}/32`)), null), false);
  assert.equal(deniesNode(agents, CART), false);
  assert.equal(deniesNode(agents, null), true, "it proves nothing without a tunnel");
  assert.equal(deniesNode(admits(), null, POD), false, "those of its own node always pass");
  const gate = gateOf({ pods: {}, servers: {}, groups: NO_GROUPS });
  assert.equal(ask(gate, to()).deniesNode, false);
});

test("a pod may connect for an endpoint at its own node unless the cluster's admin denies it", () => {
  const answer = (ownNode?: PolicySet): readonly string[] => {
    const network = sampleList();
    const set = sampleSet({ direction: "egress", network, ...(ownNode && { ownNode }) });
    const world = { pods: { [POD]: { set, identity: null } }, servers: {}, groups: NO_GROUPS };
    return ask(gateOf(world), to(NODE)).pods;
  };
  const nowhere = sampleSet({ direction: "egress", admin: [sampleRule({ action: "deny" })] });
  assert.deepEqual([answer(), answer(nowhere)], [[POD], []]);
});

test("a rule about requests is left to a worker", () => {
  const rule = sampleRule({ requests: [{ methods: ["GET"] }] });
  const set = sampleSet({ account: sampleList(rule) });
  const gate = gateOf({
    pods: { [POD]: FREE },
    servers: { [SERVER]: { set, identity: null } },
    groups: NO_GROUPS,
  });
  assert.equal(ask(gate, to(SERVER)).isGuarded, false);
});

test("blocks admit strangers, but for what they leave out", () => {
  const set = admits(ofBlock("192.0.2.0/24", "192.0.2.128/26"), ofBlock("2001:db8::/32"));
  const servers = { [SERVER]: { set, identity: null } };
  const gate = gateOf({ pods: {}, servers, groups: NO_GROUPS });
  assert.deepEqual(ask(gate, to(SERVER)).blocks, ["192.0.2.192/26", "192.0.2.0/25"]);
  const [answer] = gate.ask("shop/cart", "ip6", [to(SERVER)]);
  assert.deepEqual(answer?.blocks, ["2001:db8::/32"]);
});

test("pods of other nodes are told apart only where they can come this way", () => {
  const servers = { [SERVER]: { set: admits(ofGroup("g")), identity: null } };
  const gate = gateOf({ pods: {}, servers, groups: sampleGroups({ g: ["10.0.3.1"] }) });
  assert.deepEqual(ask(gate, to(SERVER)).blocks, []);
  assert.deepEqual(ask(gate, { ...to(SERVER), isExternal: true }).blocks, ["10.0.3.1/32"]);
});

test("a change says whose answers it changed, once they were asked", () => {
  const servers = { [SERVER]: { set: admits(ofGroup("g")), identity: null } };
  const world = (...members: readonly string[]): World => ({
    pods: { [POD]: FREE },
    servers,
    groups: sampleGroups({ g: members }),
  });
  const gate = gateOf(world());
  ask(gate, to(SERVER));
  gate.ask("shop/other", "ip", [to("10.0.2.9")]);
  assert.equal(move(gate, world("10.0.9.9")), undefined);
  assert.deepEqual(move(gate, world(POD)), ["shop/cart"]);
  assert.deepEqual(move(gate, world(POD)), ["shop/cart"], "as long as nobody asked");
  ask(gate, to(SERVER));
  assert.equal(move(gate, world(POD)), undefined);
  gate.ask("shop/cart", "ip", []);
  assert.equal(move(gate, world()), undefined, "it is in no lane any more");
});

test("a server under another set is watched by that one, though nobody asked again", () => {
  const world = (group: string, g2: readonly string[]): World => ({
    pods: { [POD]: FREE },
    servers: { [SERVER]: { set: admits(ofGroup(group)), identity: null } },
    groups: sampleGroups({ g1: [POD], g2 }),
  });
  const gate = gateOf(world("g1", [POD]));
  ask(gate, to(SERVER));
  assert.equal(move(gate, world("g2", [POD]), new Set([SERVER])), undefined);
  assert.deepEqual(move(gate, world("g2", []), new Set()), ["shop/cart"]);
});

test("a pod that comes is a change although no answer differs", () => {
  const gate = gateOf({ pods: {}, servers: {}, groups: NO_GROUPS });
  ask(gate, to(SERVER));
  assert.deepEqual(move(gate, { pods: { [POD]: FREE }, servers: {}, groups: NO_GROUPS }), []);
});

const LOCAL = ["10.0.1.1", "10.0.1.2", "10.0.1.3"];
const SERVERS = ["10.0.1.2", "10.0.2.1", "10.0.2.2"];
const OUTSIDE = ["10.0.3.1", "10.0.0.1", "192.0.2.1", "192.0.2.130", "203.0.113.1"];
const CIDRS = ["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "10.0.3.1/32", "192.0.2.0/24"];

const peers = fc.oneof(
  fc.constant("any" as const),
  fc.record({
    groups: fc.subarray(["g1", "g2"]),
    identities: fc.subarray(["i1"]),
    blocks: fc.array(
      fc.record({
        cidr: fc.constantFrom(...CIDRS),
        except: fc.subarray(["192.0.2.128/25", "10.0.1.2/32", "10.0.2.0/23"]),
      }),
      { maxLength: 2 },
    ),
  }),
);
const TCP = [[{ protocol: "TCP", first: 80, last: 90 }], [{ protocol: "UDP", first: 1, last: 99 }]];
const ruleOf = (...actions: readonly SetRule["action"][]): fc.Arbitrary<SetRule> =>
  fc.record({
    name: fc.constant("r"),
    action: fc.constantFrom(...actions),
    peers,
    ports: fc.constantFrom<SetRule["ports"]>("any", ...(TCP as Exclude<SetRule["ports"], "any">[])),
  });
const rules = (...actions: readonly SetRule["action"][]) =>
  fc.array(ruleOf(...actions), { maxLength: 2 });
const allows = fc.option(
  rules("accept").map((list) => sampleList(...list)),
  { nil: undefined },
);
const policySet = fc.option(
  fc
    .record({
      admin: rules("accept", "deny", "pass"),
      denies: rules("deny"),
      network: allows,
      account: allows,
      baseline: rules("accept", "deny"),
      otherwise: fc.constantFrom("open" as const, "identity-required" as const, "deny" as const),
    })
    .map(({ network, account, ...rest }) =>
      sampleSet({ ...rest, ...(network && { network }), ...(account && { account }) }),
    ),
  { nil: undefined },
);
const side = fc.record({ set: policySet, identity: fc.constantFrom(null, WEB, CART) });
const named = (addresses: readonly string[]) =>
  fc
    .array(side, { minLength: addresses.length, maxLength: addresses.length })
    .map((sides) => Object.fromEntries(addresses.map((address, i) => [address, sides[i] ?? FREE])));
const members = fc.record({
  g1: fc.subarray([...LOCAL, ...OUTSIDE]),
  g2: fc.subarray([...LOCAL, ...OUTSIDE]),
  i1: fc.subarray([WEB, CART, AGENT]),
});
const arbitraryWorld: fc.Arbitrary<World> = fc.record({
  pods: named(LOCAL),
  servers: named(SERVERS),
  groups: members.map((all) => sampleGroups(all)),
});
const endpoints = fc.array(
  fc.record({ address: fc.constantFrom(...SERVERS), port: fc.constantFrom(80, 443) }),
  { maxLength: 3 },
);
const question: fc.Arbitrary<GateQuestion> = fc.record({
  inside: endpoints,
  outside: endpoints,
  isExternal: fc.boolean(),
});

/** What the chains of the gate make of an answer. */
function passes({ isGuarded, pods, blocks }: GateAnswer, world: World, client: string): boolean {
  const pod = world.pods[client];
  if (!isGuarded && pod?.set === undefined) return true;
  if (pods.includes(client)) return true;
  return pod === undefined && blocks.some((block) => cidrContains(block, client));
}

function allowed(
  { pods, servers, groups: known }: World,
  { inside, outside }: GateQuestion,
  client: string,
): boolean {
  const pod = pods[client];
  const list = pod === undefined ? outside : inside;
  if (list.length === 0) return true;
  return list.some(({ address, port }) => {
    const server = servers[address] ?? FREE;
    const self = address === client ? { isSelf: true as const } : {};
    const flow = { protocol: "TCP", port, ...self } as const;
    const call = { ...flow, address, identity: server.identity };
    const visit = { ...flow, address: client, identity: pod?.identity ?? null };
    return (
      judge(pod?.set, call, known).kind !== "deny" &&
      judge(server.set, visit, known).kind !== "deny"
    );
  });
}

test("the gate lets through whom the evaluator allows some endpoint, and nobody else", () => {
  fc.assert(
    fc.property(arbitraryWorld, question, (world, asked) => {
      const answer = ask(gateOf(world), asked);
      const isMember = (client: string): boolean =>
        ["g1", "g2"].some((id) => world.groups.addresses(id)?.has(client));
      const strangers = OUTSIDE.filter((client) => asked.isExternal || !isMember(client));
      for (const client of [...LOCAL, ...strangers]) {
        assert.equal(passes(answer, world, client), allowed(world, asked, client), client);
      }
    }),
  );
});

test("a node's processes are kept out where the evaluator denies them every endpoint", () => {
  fc.assert(
    fc.property(arbitraryWorld, question, (world, asked) => {
      const { servers, groups: known, pods } = world;
      const isAdmitted = asked.outside.some(({ address, port }) => {
        const { set, identity = null } = servers[address] ?? {};
        const proven = identity === null ? null : AGENT;
        const flow = { protocol: "TCP", port, address: NODE, identity: proven } as const;
        return address in pods || judge(set, flow, known).kind !== "deny";
      });
      const isDenied = asked.outside.length > 0 && !isAdmitted;
      assert.equal(ask(gateOf(world), asked).deniesNode, isDenied);
    }),
  );
});

/** Sets in which a small change matters. */
const plainSide: fc.Arbitrary<GateSide> = fc.record({
  set: fc.constantFrom(
    undefined,
    admits(ofGroup("g1")),
    admits(ofGroup("g2"), ofBlock("10.0.2.1/32")),
    admits(samplePeers({ identities: ["i1"] })),
    admits(ofBlock("10.0.0.0/16", "10.0.2.2/32")),
  ),
  identity: fc.constantFrom(null, WEB, CART),
});
const plainMembers = fc.subarray([...new Set([...LOCAL, ...SERVERS, NODE, "10.0.3.1"])]);
const plainIdentities = fc.subarray([WEB, CART, AGENT]);
const sidesOf = (addresses: readonly string[]) =>
  fc.record(Object.fromEntries(addresses.map((address) => [address, plainSide])));
/** All that a world is made of, by part. */
const plainWorld = fc.record({
  pods: sidesOf(LOCAL),
  servers: sidesOf(SERVERS),
  addresses: fc.record({ g1: plainMembers, g2: plainMembers }),
  identities: fc.record({ i1: plainIdentities }),
});
type PlainWorld = typeof plainWorld extends fc.Arbitrary<infer T> ? T : never;
const sidePart = fc.oneof(
  plainSide,
  plainSide.map(({ set }) => ({ set })),
  plainSide.map(({ identity }) => ({ identity })),
);
type Sides = PlainWorld["pods"];
function changed(sides: Sides, address: string, part: Partial<GateSide>): Sides {
  return { ...sides, [address]: { ...FREE, ...sides[address], ...part } };
}
/** One thing is another, or gone. */
const smallChange: fc.Arbitrary<(world: PlainWorld) => PlainWorld> = fc.oneof(
  fc.tuple(fc.constantFrom(...LOCAL), sidePart).map(([address, part]) => {
    return (world: PlainWorld) => ({ ...world, pods: changed(world.pods, address, part) });
  }),
  fc.constantFrom(...LOCAL).map((address) => (world: PlainWorld) => {
    const pods = Object.entries(world.pods).filter(([key]) => key !== address);
    return { ...world, pods: Object.fromEntries(pods) };
  }),
  fc.tuple(fc.constantFrom(...SERVERS), sidePart).map(([address, part]) => {
    return (world: PlainWorld) => ({ ...world, servers: changed(world.servers, address, part) });
  }),
  fc.tuple(fc.constantFrom("g1", "g2"), plainMembers).map(([key, all]) => {
    return (world: PlainWorld) => ({ ...world, addresses: { ...world.addresses, [key]: all } });
  }),
  plainIdentities.map((i1) => (world: PlainWorld) => ({ ...world, identities: { i1 } })),
);

/** The same members are the same object. */
function memberSets(known: Map<readonly string[], ReadonlySet<string>>) {
  return (list: readonly string[] | undefined): ReadonlySet<string> | undefined => {
    if (list === undefined) return undefined;
    const set = known.get(list) ?? new Set(list);
    known.set(list, set);
    return set;
  };
}

test("after any change it answers as one that knew nothing before", () => {
  const step = fc.record({
    changes: fc.array(smallChange, { minLength: 1, maxLength: 2 }),
    isTouched: fc.boolean(),
    isAsked: fc.boolean(),
  });
  const steps = fc.array(step, { maxLength: 8 });
  fc.assert(
    fc.property(plainWorld, steps, question, (first, all, asked) => {
      const setOf = memberSets(new Map());
      const worldOf = ({ pods, servers, addresses, identities }: PlainWorld): World => {
        const groups: Groups = {
          addresses: (id) => setOf(new Map(Object.entries(addresses)).get(id)),
          identities: (id) => setOf(new Map(Object.entries(identities)).get(id)),
        };
        return { pods, servers, groups };
      };
      const gate = gateOf(worldOf(first));
      let told = ask(gate, asked);
      let now = first;
      for (const { changes, isTouched, isAsked } of all) {
        const before = now;
        now = changes.reduce((world, change) => change(world), now);
        const others = SERVERS.filter((one) => before.servers[one] !== now.servers[one]);
        const services = move(gate, worldOf(now), isTouched ? new Set(others) : undefined);
        const fresh = ask(gateOf(worldOf(now)), asked);
        const isOther = JSON.stringify(told) !== JSON.stringify(fresh);
        assert.equal(services?.includes("shop/cart") ?? false, isOther);
        if (!isAsked) continue;
        told = ask(gate, asked);
        assert.deepEqual(told, fresh);
      }
    }),
    { numRuns: 1_000 },
  );
});

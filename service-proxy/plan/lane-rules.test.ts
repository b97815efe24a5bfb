import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Change, Family, Transaction } from "../../lib/nft/objects.ts";
import { formatTransaction } from "../../lib/nft/text.ts";
import { type TracePacket, type TraceResult, tracePacket } from "../../lib/nft/trace.ts";
import { ALIVE_LAPSE, ALIVE_RENEWAL, chainChanges, transaction } from "./changes.ts";
import { DENIED_COUNTER } from "./lane-gate-rules.ts";
import { DEFAULT_LANE, DELIVERED_MARK, type LaneOptions } from "./lane-marks.ts";
import {
  demandedChains,
  fixedChains,
  type LocalDetector,
  type RulesetOptions,
  setSpec,
  tableSets,
} from "./ruleset.ts";

interface World {
  readonly vip: string;
  readonly balancer: string;
  readonly node: string;
  readonly pod: string;
  readonly podCidr: string;
  readonly client: string;
  readonly endpoint: string;
}

const WORLDS: Readonly<Record<Family, World>> = {
  ip: {
    vip: "10.96.0.10",
    balancer: "203.0.113.10",
    node: "192.168.77.11",
    pod: "10.71.1.2",
    podCidr: "10.71.1.0/24",
    client: "192.168.77.2",
    endpoint: "10.71.2.2",
  },
  ip6: {
    vip: "fd96::10",
    balancer: "2001:db8:113::10",
    node: "fd77::b",
    pod: "fd71:0:0:1::2",
    podCidr: "fd71:0:0:1::/64",
    client: "fd77::2",
    endpoint: "fd71:0:0:2::2",
  },
};
const NONE: ReadonlySet<number> = new Set();
const CIDR: LocalDetector = { kind: "cidr" };

for (const family of ["ip", "ip6"] as const) {
  const { vip, balancer, node, pod, client, endpoint } = WORLDS[family];

  describe(`lanes, ${family}`, () => {
    test(`the chains as nft text, ${family}`, (t) => {
      const path = join(import.meta.dirname, "testdata", `lane-${family}.nft`);
      const chains = chainChanges(laneChainsOnly(optionsOf(family)));
      t.assert.fileSnapshot(formatTransaction(transaction(family, chains)), path, {
        serializers: [(text: string) => text],
      });
    });

    test("without a Service in a lane there is no chain for it", () => {
      const demand = { counts: NONE, affinityCounts: NONE, affinitySeconds: NONE };
      assert.deepEqual(demandedChains(optionsOf(family), demand), []);
    });

    test("a connection comes to the side of the proxy that its client is on", async () => {
      const trace = await install(family);
      const sides = (destination: string): unknown[] => [
        landing(trace({ interface: "veth1", source: pod, destination })),
        landing(trace({ interface: "eth0", source: client, destination })),
        landing(trace({ source: node, destination })),
      ];
      assert.deepEqual(sides(vip), [15_001, 15_002, 15_002]);
    });

    test("a NodePort leads into the lane, but not from its own node", async () => {
      const trace = await install(family);
      const nodePort = { destination: node, destinationPort: 30_080 };
      assert.equal(landing(trace({ interface: "eth0", source: client, ...nodePort })), 15_002);
      assert.equal(landing(trace({ interface: "veth1", source: pod, ...nodePort })), 15_001);
      assert.equal(landing(trace({ source: node, ...nodePort })), endpoint);
    });

    test("other ports and other protocols stay where they are", async () => {
      const trace = await install(family);
      const from = { interface: "veth1", source: pod, destination: vip };
      assert.equal(landing(trace({ ...from, destinationPort: 81 })), vip);
      assert.equal(landing(trace({ ...from, protocol: "udp" })), endpoint);
    });

    test("source ranges admit and drop in the lane as they do outside it", async () => {
      const trace = await install(family);
      const to = { destination: balancer };
      assert.equal(landing(trace({ interface: "veth1", source: pod, ...to })), 15_001);
      assert.equal(landing(trace({ interface: "eth0", source: client, ...to })), "drop");
      assert.equal(landing(trace({ source: node, ...to })), "drop");
    });

    test("without a living worker every connection stays in the kernel lane", async () => {
      const trace = await install(family, { isAlive: false });
      for (const packet of [
        { interface: "veth1", source: pod },
        { interface: "eth0", source: client },
        { source: node },
      ]) {
        assert.equal(landing(trace({ ...packet, destination: vip })), endpoint);
      }
    });

    test("where the lane must not be left, connections without a worker are refused", async () => {
      const lane: LaneOptions = { ...DEFAULT_LANE, onDead: "refuse" };
      const trace = await install(family, { isAlive: false, options: { lane } });
      const from = { interface: "eth0", source: client };
      assert.equal(landing(trace({ ...from, destination: vip })), "reject");
      assert.equal(landing(trace({ ...from, destination: vip, protocol: "udp" })), endpoint);
    });

    test("a lifted connection is a pod's where pods are known by their interface", async () => {
      for (const detector of [
        { kind: "bridge", interface: "cni0" },
        { kind: "prefix", prefix: "veth" },
      ] as const) {
        const trace = await install(family, { options: { detector } });
        const to = { source: pod, destination: vip };
        assert.equal(landing(trace({ interface: "im1", ...to })), 15_001);
        assert.equal(landing(trace({ interface: "eth0", ...to })), 15_002);
        const dead = await install(family, { options: { detector }, isAlive: false });
        assert.equal(dead({ interface: "im1", ...to }).masquerade, false);
        assert.equal(dead({ interface: "eth0", ...to }).masquerade, true);
      }
    });

    test("nobody is inside when pods cannot be told from others", async () => {
      const trace = await install(family, { options: { detector: { kind: "none" } } });
      assert.equal(landing(trace({ interface: "veth1", source: pod, destination: vip })), 15_002);
    });

    test(`the chains with a gate as nft text, ${family}`, (t) => {
      const path = join(import.meta.dirname, "testdata", `lane-gated-${family}.nft`);
      const chains = chainChanges(laneChainsOnly(optionsOf(family, { gated: true, logGroup: 5 })));
      t.assert.fileSnapshot(formatTransaction(transaction(family, chains)), path, {
        serializers: [(text: string) => text],
      });
    });

    test("a guarded Service is for clients that have leave, whoever is there to take it", async () => {
      const block = `${client}/${family === "ip" ? 32 : 128}`;
      for (const isAlive of [true, false]) {
        const reached = isAlive ? [15_001, 15_002, 15_002] : [endpoint, endpoint, endpoint];
        const from = async (...elements: Change[]): Promise<unknown[]> => {
          const trace = await install(family, { isAlive, options: { gated: true }, elements });
          return [
            landing(trace({ interface: "veth1", source: pod, destination: vip })),
            landing(trace({ interface: "eth0", source: client, destination: vip })),
            landing(trace({ source: node, destination: vip })),
          ];
        };
        assert.deepEqual(await from(), reached);
        const guarded = add("lane-guarded", ["0:1"]);
        const leave = add("lane-allow", [`${pod} . 0:1`]);
        const blocks = add("lane-allow-blocks", [`0:1 . ${block}`]);
        assert.deepEqual(await from(guarded), ["drop", "drop", reached[2]]);
        assert.deepEqual(await from(guarded, leave), [reached[0], "drop", reached[2]]);
        assert.deepEqual(await from(guarded, blocks), ["drop", reached[1], reached[2]]);
        assert.deepEqual(await from(add("lane-guarded", ["0:2"])), reached);
      }
    });

    test("whom nobody lets in from this node, its processes do not reach", async () => {
      for (const isAlive of [true, false]) {
        const elements = [add("lane-host-denied", ["0:1"])];
        const trace = await install(family, { isAlive, options: { gated: true }, elements });
        assert.equal(landing(trace({ source: node, destination: vip })), "drop");
        const from = { interface: "eth0", source: client, destination: vip };
        assert.equal(landing(trace(from)), isAlive ? 15_002 : endpoint);
        assert.equal(landing(trace({ source: node, destination: vip, protocol: "udp" })), endpoint);
      }
    });

    test("a known pod is in no block", async () => {
      const elements = [
        add("lane-guarded", ["0:1"]),
        add("lane-allow-blocks", [`0:1 . ${family === "ip" ? "0.0.0.0/0" : "::/0"}`]),
        add("lane-pods", [pod]),
      ];
      const trace = await install(family, { options: { gated: true }, elements });
      const to = { destination: vip };
      assert.equal(landing(trace({ interface: "veth1", source: pod, ...to })), "drop");
      assert.equal(landing(trace({ interface: "eth0", source: client, ...to })), 15_002);
    });

    test("an isolated pod needs leave for every Service, and no other port", async () => {
      const isolated = [add("lane-pods", [pod]), add("lane-isolated", [pod])];
      const from = { interface: "veth1", source: pod, destination: vip };
      const options = { gated: true };
      const denied = await install(family, { options, elements: isolated });
      assert.equal(landing(denied(from)), "drop");
      assert.equal(landing(denied({ ...from, protocol: "udp" })), endpoint);
      assert.equal(landing(denied({ ...from, interface: "eth0", source: client })), 15_002);
      const leave = add("lane-allow", [`${pod} . 0:1`]);
      const allowed = await install(family, { options, elements: [...isolated, leave] });
      assert.equal(landing(allowed(from)), 15_001);
    });

    test("no id leaves with a packet", async () => {
      for (const isAlive of [true, false]) {
        const trace = await install(family, { isAlive, options: { gated: true } });
        for (const from of [{ interface: "veth1", source: pod }, { source: node }]) {
          assert.equal(trace({ ...from, destination: vip }).priority, 0);
        }
      }
    });
  });
}

interface Installation {
  readonly options?: Partial<RulesetOptions>;
  readonly isAlive?: boolean;
  /** Beside those of `elements`. */
  readonly elements?: readonly Change[];
}

type Trace = (packet: Partial<TracePacket> & Pick<TracePacket, "source">) => TraceResult;

/** Port 80 of a VIP, of a balancer with ranges and NodePort 30080, all in the lane over TCP. */
async function install(
  family: Family,
  { options = {}, isAlive = true, elements: more = [] }: Installation = {},
): Promise<Trace> {
  const kernel = makeFakeKernel();
  const { node } = WORLDS[family];
  const whole = optionsOf(family, options);
  const chains = [...fixedChains(whole), ...laneChainsOnly(whole), ...modChains(whole)];
  const changes: Change[] = [
    { kind: "add-table" },
    ...tableSets(whole).map((set): Change => ({ kind: "add-set", set })),
    { kind: "add-counter", counter: DENIED_COUNTER },
    ...chainChanges(chains),
    ...elements(family),
    ...more,
    ...(isAlive ? ALIVE_RENEWAL : ALIVE_LAPSE),
  ];
  const whatIs: Transaction = transaction(family, changes);
  await kernel.commit([whatIs]);
  const table = kernel.table(family, whatIs.table) ?? assert.fail("no table");
  return (packet) =>
    tracePacket(
      table,
      { destination: "", protocol: "tcp", destinationPort: 80, ...packet },
      {
        localAddresses: new Set([node, "127.0.0.1", "::1"]),
        random: () => 0,
        deliveredMark: DELIVERED_MARK,
      },
    );
}

function add(set: string, ...pairs: (readonly [key: string, data?: string])[]): Change {
  return {
    kind: "add-elements",
    set: setSpec(set),
    elements: pairs.map(([key, data]) => (data === undefined ? { key } : { key, data })),
  };
}

function elements(family: Family): Change[] {
  const { vip, balancer, pod, podCidr, endpoint, node } = WORLDS[family];
  const host = family === "ip" ? 32 : 128;
  return [
    add("local-pods", [podCidr]),
    add("nodeport-ips", [node]),
    add("endpoints", ["0:1 . 0", `${endpoint} . 8080`]),
    add("esets", ["0:1", "goto mod-1"]),
    add("cluster-of", ["0:2", "0:1"], ["0:3", "0:1"]),
    add("ext", ["0:2", "jump lb-cluster"], ["0:3", "jump etp-cluster"]),
    add("lb-allow", [`0:2 . ${pod}/${host}`]),
    add("vips", [`${vip} . tcp . 80`, "0:1"], [`${vip} . udp . 80`, "0:1"]),
    add("vips", [`${balancer} . tcp . 80`, "0:2"]),
    add("nodeports", ["tcp . 30080", "0:3"]),
    add("lane-ranged", ["0:2"]),
    add("lane-vips", [`${vip} . tcp . 80`, "0:1"], [`${balancer} . tcp . 80`, "0:2"]),
    add("lane-nodeports", ["tcp . 30080", "0:3"]),
  ];
}

function optionsOf(family: Family, more: Partial<RulesetOptions> = {}): RulesetOptions {
  return {
    family,
    detector: CIDR,
    masqueradeAll: false,
    masqueradeMark: 0x4000,
    nodePortsEverywhere: false,
    ...more,
  };
}

function laneChainsOnly(options: RulesetOptions): ReturnType<typeof demandedChains> {
  const demand = { counts: NONE, affinityCounts: NONE, affinitySeconds: NONE, lane: true };
  return demandedChains(options, demand);
}

function modChains(options: RulesetOptions): ReturnType<typeof demandedChains> {
  const demand = { counts: new Set([1]), affinityCounts: NONE, affinitySeconds: NONE };
  return demandedChains(options, demand);
}

/** The proxy's port, or where the packet goes otherwise, or that it goes nowhere. */
function landing({ verdict, listenerPort, destination }: TraceResult): unknown {
  if (verdict === "lane") return listenerPort;
  return verdict === "accept" ? destination : verdict;
}

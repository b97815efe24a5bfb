// The tables that make identities hold in the kernel: who may send as whom, which connections go
// through a worker, and what strict pods refuse. A snapshot goes in, whole tables come out.

import type { Element, Family, SetSpec } from "../../lib/nft/objects.ts";
import { type PlannedSet, type TablePlan, tableRemoval } from "../../lib/nft/table-plan.ts";
import type { Transaction } from "../../lib/nft/objects.ts";
import { closedChains, closedPortChain } from "./closed-rules.ts";
import { bridgeSets, deliveryChain, liftChain, liftSets } from "./entry-lift.ts";
import { DIRECT_VERDICT, entryChains } from "./entry-rules.ts";
import {
  arpChain,
  arrivedChain,
  familyFits,
  guardChains,
  guardSets,
  originChain,
} from "./guard-rules.ts";
import { BRIDGED, DENIED_COUNTERS, NetworkPlanner } from "./network-tables.ts";
import { NO_POLICIES } from "./network-world.ts";
import {
  chainOf,
  COUNTERS,
  elementsOf,
  POLICY_TABLE,
  type PolicyWorld,
} from "./policy-table-parts.ts";

const COMMENT = "Innermesh: identities of pods";

/** The set whose one element says for three seconds that a worker lives. */
export const ALIVE_SET: SetSpec = { name: "alive", key: ["meta l4proto"], timeoutSeconds: 3 };

/**
 * All tables, in an order in which they can be committed as one batch.
 * @param planner of the plans before: what has not changed costs nothing again
 */
export function planPolicyTables(
  world: PolicyWorld,
  planner = new NetworkPlanner(),
): readonly TablePlan[] {
  return [
    packetTable("ip", world, planner),
    packetTable("ip6", world, planner),
    {
      ...frameTable("netdev"),
      sets: [...guardSets(world), ...liftSets(world)],
      chains: [liftChain(world), ...guardChains(world)],
    },
    bridgeTable(world),
  ];
}

/** Deletes all tables, whether or not they are there. */
export function policyRemoval(): readonly Transaction[] {
  const layers = [{}, { layer: "netdev" }, { layer: "bridge" }] as const;
  return [
    ...layers.flatMap((layer) => tableRemoval({ family: "ip", table: POLICY_TABLE, ...layer })),
    ...tableRemoval({ family: "ip6", table: POLICY_TABLE }),
  ];
}

function packetTable(family: Family, world: PolicyWorld, planner: NetworkPlanner): TablePlan {
  const chains = [originChain(), arrivedChain(), ...entryChains(world.ports), ...closedChains()];
  const network = planner.plan(family, world.network ?? NO_POLICIES);
  return {
    family,
    table: POLICY_TABLE,
    comment: COMMENT,
    counters: [...Object.values(COUNTERS), ...Object.values(DENIED_COUNTERS)],
    sets: [...packetSets(family, world), ...network.sets],
    chains: [...chains.map((chain) => chainOf(family, chain)), ...network.chains],
  };
}

/**
 * `pods` are those that answer for their addresses: all that are bound, and those that are enrolled
 * but not bound yet, which are not heard until they are.
 */
function packetSets(family: Family, world: PolicyWorld): readonly PlannedSet[] {
  const { peers, bridgeIndexes, hostCalls = [] } = world;
  const enrolled = world.pods.filter(({ mode }) => mode !== "off");
  const local = enrolled.flatMap(({ addresses }) => addresses);
  const strict = enrolled.filter(({ mode }) => mode === "strict");
  const closed = strict.flatMap(({ addresses }) => addresses);
  const set = (spec: SetSpec, elements: Iterable<Element>): PlannedSet => ({
    spec,
    family,
    elements: byKey([...elements].filter(({ key }) => familyFits(family, key))),
  });
  const plain = (addresses: Iterable<string>) => elementsOf(addresses).values();
  const direct = new Map(peers.map(({ address, mode }) => [address, DIRECT_VERDICT[mode]]));
  for (const { addresses, mode } of enrolled) {
    const data = mode === "strict" ? DIRECT_VERDICT.strict : DIRECT_VERDICT.permissive;
    for (const address of addresses) direct.set(address, data);
  }
  return [
    set({ name: "pods", key: ["saddr"] }, plain(answeringPods(world))),
    set({ name: "workloads", key: ["saddr"] }, plain(local)),
    set({ name: "closed", key: ["daddr"] }, plain(closed)),
    set(
      { name: "direct", key: ["daddr"], data: "verdict" },
      [...direct].map(([key, data]) => ({ key, data })),
    ),
    set({ name: "host-calls", key: ["daddr"] }, plain(hostCalls)),
    set({ name: "host-callers", key: ["saddr"] }, plain(world.network?.hostAddresses ?? [])),
    {
      spec: BRIDGED,
      family,
      elements: elementsOf(bridgeIndexes.map((index) => `${index} . ${index}`)),
    },
    { spec: ALIVE_SET, family, elements: new Map() },
  ];
}

function answeringPods({ pods, bindings }: PolicyWorld): readonly string[] {
  const enrolled = pods.filter(({ mode }) => mode !== "off");
  return [
    ...bindings.map(({ address }) => address),
    ...enrolled.flatMap(({ addresses }) => addresses),
  ];
}

function bridgeTable(world: PolicyWorld): TablePlan {
  const strict = new Set(world.pods.filter(({ mode }) => mode === "strict").map(({ uid }) => uid));
  const isolated = new Set(
    (world.network ?? NO_POLICIES).pods.flatMap(({ addresses, ingress }) =>
      ingress === undefined ? [] : addresses,
    ),
  );
  const closedPorts = world.bindings
    .filter(({ uid, address }) => strict.has(uid) || isolated.has(address))
    .filter(({ link }) => link.master !== undefined)
    .map(({ link }) => String(link.index));
  const addresses = (family: Family): PlannedSet => ({
    spec: { name: `pods-${family}`, key: ["saddr"] },
    family,
    elements: elementsOf(answeringPods(world).filter((address) => familyFits(family, address))),
  });
  return {
    ...frameTable("bridge"),
    sets: [
      addresses("ip"),
      addresses("ip6"),
      {
        spec: { name: "closed-ports", key: ["meta oif"] },
        family: "ip",
        elements: elementsOf(closedPorts),
      },
      ...bridgeSets(world),
    ],
    chains: [arpChain(), deliveryChain(world), closedPortChain()],
  };
}

function frameTable(layer: "netdev" | "bridge"): Omit<TablePlan, "sets" | "chains"> {
  const counters = Object.values(COUNTERS);
  return { family: "ip", layer, table: POLICY_TABLE, comment: COMMENT, counters };
}

function byKey(elements: readonly Element[]): ReadonlyMap<string, Element> {
  return new Map(elements.map((element) => [element.key, element]));
}

// Program: the kernel half of the lanes on a node, without the half that plans for workers. Writes
// the planned tables, puts entry points into the lane when told to, and beats its heart.

import assert from "node:assert/strict";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import { parseNode } from "../../lib/kube/api/node.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseServiceCidr } from "../../lib/kube/api/service-cidr.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { makeLogger, standardError } from "../../lib/log/logger.ts";
import { readHostAddresses } from "../../lib/netlink/route.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import type { Change, Element, Family } from "../../lib/nft/objects.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { startLaneHeartbeat } from "../../service-proxy/apply/lane-heartbeat.ts";
import { removeLiftLinks, startLaneLift } from "../../service-proxy/apply/lane-lift.ts";
import { removeLaneRoutes } from "../../service-proxy/apply/lane-routes.ts";
import { NftApply } from "../../service-proxy/apply/nft-apply.ts";
import { removeOwnTables } from "../../service-proxy/apply/own-tables.ts";
import { parseNodeFlags } from "../../service-proxy/config/node-flags.ts";
import type { GateAnswer, GatedPods, LaneGate } from "../../service-proxy/model/lane-gate.ts";
import {
  chainChanges,
  REMOVAL,
  transaction,
  wholeTransaction,
} from "../../service-proxy/plan/changes.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { answerElements } from "../../service-proxy/plan/lane-gate-plan.ts";
import type { LaneOptions } from "../../service-proxy/plan/lane-marks.ts";
import { NodePlan } from "../../service-proxy/plan/node-plan.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { demandedChains, setSpec } from "../../service-proxy/plan/ruleset.ts";
import { tableSettings } from "../../service-proxy/plan/table-settings.ts";

/** Keys of `vips` and `nodeports` that belong to the lane, by family. */
export type LaneKeys = Readonly<Record<Family, readonly string[]>>;

/** Calls that this program takes on standard input. */
export interface LaneAgentCalls {
  /** Writes the tables anew, with no entry point in the lane. */
  readonly install: {
    readonly request: {
      readonly flags: readonly string[];
      readonly manifests: readonly Manifest[];
      readonly lane?: LaneOptions;
      /** Connections have to pass a gate, which is open at first. */
      readonly isGated?: boolean;
    };
    readonly reply: null;
  };
  /** Who else may connect from now on to the entry point with that key of `vips`. */
  readonly gate: {
    readonly request: {
      readonly family: Family;
      readonly key: string;
      readonly pods: GatedPods;
      readonly answer: GateAnswer;
    };
    readonly reply: null;
  };
  /** Entry points come into the lane, or leave it. */
  readonly move: {
    readonly request: { readonly direction: "in" | "out"; readonly keys: LaneKeys };
    readonly reply: null;
  };
  readonly beat: { readonly request: { readonly healthy: boolean }; readonly reply: null };
  /** Stops the heart for good and removes tables and routes. */
  readonly remove: { readonly request: object; readonly reply: readonly string[] };
}

const FAMILIES = ["ip", "ip6"] as const;

if (import.meta.main) {
  const kernel = await openNetlinkKernel();
  const log = makeLogger({ level: "warn", format: "text", destination: standardError() });
  const apply = new NftApply(kernel, log);
  const stop = new AbortController();
  let healthy = false;
  const heart = startLaneHeartbeat(
    {
      apply,
      families: FAMILIES,
      clock: systemClock,
      log,
      healthy: () => healthy,
    },
    stop.signal,
  );
  let plans: readonly FamilyPlan[] = [];
  let entries: LaneKeys = { ip: [], ip6: [] };
  const lift = startLaneLift(
    { apply, clock: systemClock, log, entries: () => entries },
    stop.signal,
  );
  answerCalls<LaneAgentCalls>({
    async install({ flags, manifests, lane, isGated = false }) {
      plans = await planNode(flags, manifests, isGated);
      await kernel.commit(
        plans.map((plan) => {
          const { family } = plan.options;
          const options = lane === undefined ? plan.options : { ...plan.options, lane };
          const chains = demandedChains(options, { ...plan.demand(), lane: true });
          const changes = [...wholeTransaction(plan).changes, ...chainChanges(chains)];
          return transaction(family, [...REMOVAL, ...changes]);
        }),
      );
      return null;
    },
    async gate({ family, key, pods, answer }) {
      const plan = plans.find(({ options }) => options.family === family);
      const id = plan?.ledger.wanted.get("vips")?.get(key)?.data ?? assert.fail(key);
      const elements = [
        ...pods.all.map((pod) => ({ set: "lane-pods", key: pod })),
        ...pods.isolated.map((pod) => ({ set: "lane-isolated", key: pod })),
        ...answerElements(id, answer),
      ];
      const changes = elements.map(
        ({ set, key: one }): Change => ({
          kind: "add-elements",
          set: setSpec(set),
          elements: [{ key: one }],
        }),
      );
      await kernel.commit([transaction(family, changes)]);
      return null;
    },
    async move({ direction, keys }) {
      const changes = (plan: FamilyPlan): readonly Change[] =>
        laneElements(plan, keys[plan.options.family]).map(({ set, elements }) =>
          direction === "in"
            ? { kind: "add-elements", set: setSpec(set), elements }
            : {
                kind: "delete-elements",
                set: setSpec(set),
                keys: elements.map(({ key }) => key),
              },
        );
      await kernel.commit(plans.map((plan) => transaction(plan.options.family, changes(plan))));
      entries = { ip: [], ip6: [] };
      for (const plan of direction === "in" ? plans : []) {
        const { family } = plan.options;
        entries = { ...entries, [family]: entryPoints(plan, keys[family]) };
      }
      lift.refresh();
      return null;
    },
    async beat(request) {
      ({ healthy } = request);
      heart.beat();
      return null;
    },
    async remove() {
      stop.abort();
      await Promise.all([heart.ended, lift.ended]);
      const tables = await removeOwnTables(kernel);
      return [...tables, ...removeLiftLinks(), ...removeLaneRoutes(FAMILIES)];
    },
  });
}

async function planNode(
  flags: readonly string[],
  manifests: readonly Manifest[],
  isGated: boolean,
): Promise<readonly FamilyPlan[]> {
  const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
  const parsers = {
    Service: parseService,
    EndpointSlice: parseEndpointSlice,
    Node: parseNode,
    ServiceCIDR: parseServiceCidr,
  };
  for (const manifest of manifests) {
    const parsed = parsers[manifest["kind"] as keyof typeof parsers](manifest);
    assert.equal(parsed.kind, "ok");
    store.put(parsed.object);
  }
  const { settings } = parseNodeFlags(flags, () => assert.fail("no file is named"));
  const gate: LaneGate = { gatedPods: () => ({ all: [], isolated: [] }), ask: () => [] };
  const table = { ...tableSettings(settings, "node-1", []), ...(isGated && { gate }) };
  return new NodePlan(table, store, await readHostAddresses(), new Map()).families;
}

/** As `liftEntries` tells them once the plan itself has lanes. */
function entryPoints(plan: FamilyPlan, keys: readonly string[]): readonly string[] {
  const addresses = plan.nodePortAddresses ?? [];
  return keys.flatMap((key) =>
    key.startsWith("tcp . ") ? addresses.map((address) => `${address} . ${key}`) : [key],
  );
}

/** The entry points with the ids they have in the kernel lane, and which ids have ranges. */
function laneElements(
  plan: FamilyPlan,
  keys: readonly string[],
): readonly { readonly set: string; readonly elements: readonly Element[] }[] {
  const { wanted } = plan.ledger;
  const of = (set: string): Element[] => keys.flatMap((key) => wanted.get(set)?.get(key) ?? []);
  const vips = of("vips");
  const ranged = new Set(
    [...(wanted.get("lb-allow")?.keys() ?? [])].map((key) => key.split(" . ")[0] ?? ""),
  );
  const ids = new Set(vips.map(({ data = "" }) => data).filter((id) => ranged.has(id)));
  return [
    { set: "lane-ranged", elements: [...ids].map((key) => ({ key })) },
    { set: "lane-vips", elements: vips },
    { set: "lane-nodeports", elements: of("nodeports") },
  ];
}

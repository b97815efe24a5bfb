// What the verbs that look at a cluster share: settings from kube-proxy's flags, one complete
// snapshot from a source, and the plan of one node.

import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { systemClock } from "../lib/clock/system-clock.ts";
import { makeKubeClient } from "../lib/kube/client.ts";
import { runApiSource } from "../lib/kube/source/api-source.ts";
import { runDirectorySource } from "../lib/kube/source/directory-source.ts";
import { type KubeStore, makeStore } from "../lib/kube/store.ts";
import { hasIdentities } from "../netpol-identity/plan/identity-lane.ts";
import type { EnrolmentLabels } from "../netpol-identity/plan/enrolment.ts";
import type { TunnelPlan } from "../netpol-identity/plan/tunnel-plan.ts";
import { TunnelPlanner } from "../netpol-identity/plan/tunnel-planner.ts";
import { selectionFor } from "../roles/node-source.ts";
import { parseNodeFlags } from "../service-proxy/config/node-flags.ts";
import { type NodeSettings, nodeNameOf } from "../service-proxy/config/node-settings.ts";
import { formatSettingProblem } from "../service-proxy/config/setting-problem.ts";
import type { TableSettings } from "../service-proxy/plan/family-facts.ts";
import { NodePlan } from "../service-proxy/plan/node-plan.ts";
import { tableSettings } from "../service-proxy/plan/table-settings.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { clientConfig } from "./kube-access.ts";

export interface Snapshot {
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly store: KubeStore;
  readonly plan: NodePlan;
  /** Who is enrolled; undefined where identities are off. */
  readonly identities: EnrolledPods | undefined;
}

export interface EnrolledPods {
  readonly labels: EnrolmentLabels;
  readonly plan: TunnelPlan;
}

const SYNC_TIMEOUT_MS = 30_000;

/**
 * Reads a source once and plans a node from it.
 * @param flags what `innermesh node` would be given
 * @throws WrongUse, Unreachable
 */
export async function takeSnapshot(flags: readonly string[]): Promise<Snapshot> {
  const { settings, warnings, errors } = parseNodeFlags(flags, (path) =>
    readFileSync(path, "utf8"),
  );
  for (const warning of warnings) process.stderr.write(`${formatSettingProblem(warning)}\n`);
  if (errors.length > 0) throw new WrongUse(errors.map(formatSettingProblem).join("\n"));
  const nodeName = nodeNameOf(settings, hostname());
  const store = makeStore(selectionFor(settings).kinds);
  const apiServerAddresses = await fill(store, settings, nodeName);
  const identities = enrolledPods(store, settings, nodeName);
  const table = plannedTable({ settings, nodeName, store, identities }, apiServerAddresses);
  const own = store.nodes.get(nodeName)?.addresses.map(({ address }) => address) ?? [];
  const plan = new NodePlan(table, store, own, new Map());
  return { settings, nodeName, store, plan, identities };
}

/** What shapes a node's table, as its agent has it. */
export function plannedTable(
  { settings, nodeName, store, identities }: Omit<Snapshot, "plan">,
  apiServerAddresses: readonly string[],
): TableSettings {
  const table = tableSettings(settings, nodeName, apiServerAddresses);
  if (identities === undefined) return table;
  const { plan } = identities;
  return { ...table, hasIdentities: (service) => hasIdentities(plan, store.slicesOf(service)) };
}

function enrolledPods(
  store: KubeStore,
  { identity: { mode, trustDomain } }: NodeSettings,
  nodeName: string,
): EnrolledPods | undefined {
  if (mode === "none") return undefined;
  const planner = new TunnelPlanner(store, { nodeName, trustDomain, meshDefault: mode });
  return { labels: planner.labels(), plan: planner.plan(systemClock.monotonicMs()) };
}

/** Runs the source until every kind was listed once. */
async function fill(
  store: KubeStore,
  settings: NodeSettings,
  nodeName: string,
): Promise<readonly string[]> {
  const stop = new AbortController();
  const failures = new Map<string, string>();
  const base = {
    store,
    nodeName,
    clock: systemClock,
    signal: stop.signal,
    onEvent: ({ resource, why }: { readonly resource: string; readonly why?: string }) => {
      if (why !== undefined) failures.set(resource, why);
    },
  };
  const { source } = settings;
  const selection = selectionFor(settings);
  let addresses: readonly string[] = [];
  let run: Promise<void>;
  if (source.kind === "directory") {
    const { nodes } = selection;
    run = runDirectorySource({ ...base, path: source.path, nodes });
  } else {
    const config = await clientConfig(source);
    addresses = [config.server.hostname];
    const client = makeKubeClient(config, systemClock);
    const options = { ...base, ...selection, client, random: Math.random };
    run = runApiSource(options).finally(() => client.close());
  }
  try {
    await synced(store, failures, stop);
  } finally {
    stop.abort();
    await run;
  }
  return addresses;
}

function synced(
  store: KubeStore,
  failures: ReadonlyMap<string, string>,
  stop: AbortController,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const why = [...failures].map(([kind, reason]) => `${kind}: ${reason}`).join("; ");
      reject(new Unreachable(`Cannot read the cluster in time${why === "" ? "" : `: ${why}`}`));
    }, SYNC_TIMEOUT_MS);
    const look = (): void => {
      if (!store.synced) return;
      clearTimeout(timer);
      resolve();
    };
    const forget = store.onChange(look);
    stop.signal.addEventListener("abort", forget, { once: true });
    look();
  });
}

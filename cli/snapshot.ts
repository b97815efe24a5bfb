// What the verbs that look at a cluster share: settings from kube-proxy's flags, one complete
// snapshot from a source, and the plan of one node.

import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { systemClock } from "../lib/clock/system-clock.ts";
import { makeKubeClient } from "../lib/kube/client.ts";
import { ALL_KINDS, runApiSource } from "../lib/kube/source/api-source.ts";
import { runDirectorySource } from "../lib/kube/source/directory-source.ts";
import { type KubeStore, makeStore } from "../lib/kube/store.ts";
import { parseNodeFlags } from "../service-proxy/config/node-flags.ts";
import { type NodeSettings, nodeNameOf } from "../service-proxy/config/node-settings.ts";
import { formatSettingProblem } from "../service-proxy/config/setting-problem.ts";
import { NodePlan } from "../service-proxy/plan/node-plan.ts";
import { tableSettings } from "../service-proxy/plan/table-settings.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { clientConfig } from "./kube-access.ts";

export interface Snapshot {
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly store: KubeStore;
  readonly plan: NodePlan;
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
  const store = makeStore(ALL_KINDS);
  const apiServerAddresses = await fill(store, settings, nodeName);
  const table = tableSettings(settings, nodeName, apiServerAddresses);
  const own = store.nodes.get(nodeName)?.addresses.map(({ address }) => address) ?? [];
  const plan = new NodePlan(table, store, own, new Map());
  return { settings, nodeName, store, plan };
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
  let addresses: readonly string[] = [];
  let run: Promise<void>;
  if (source.kind === "directory") {
    run = runDirectorySource({ ...base, path: source.path });
  } else {
    const config = await clientConfig(source);
    addresses = [config.server.hostname];
    const client = makeKubeClient(config, systemClock);
    run = runApiSource({ ...base, client, random: Math.random }).finally(() => client.close());
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

// `innermesh node`: the composition root of the DaemonSet's process. It alone knows the command
// line, the files, the sockets and the process; everything below gets what it needs handed in.

import { existsSync, readFileSync, watchFile, writeFileSync } from "node:fs";
import { availableParallelism, hostname } from "node:os";
import { systemClock } from "../lib/clock/system-clock.ts";
import type { Address } from "../lib/ip/address.ts";
import { KubeconfigError } from "../lib/kube/kubeconfig.ts";
import { makeStore } from "../lib/kube/store.ts";
import { type Logger, levelOfVerbosity, makeLogger } from "../lib/log/logger.ts";
import { makeNodeMetrics, type NodeMetrics } from "../lib/metrics/node-metrics.ts";
import { openConntrackTable } from "../lib/netlink/conntrack.ts";
import { readHostAddresses, watchAddresses } from "../lib/netlink/route.ts";
import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import { openCommandKernel } from "../lib/nft/nft-command.ts";
import type { Family, NftKernel } from "../lib/nft/objects.ts";
import { removeKubeProxyLeftovers } from "../service-proxy/apply/kube-proxy-leftovers.ts";
import type { Leave } from "../service-proxy/apply/lanes.ts";
import { Succession } from "../service-proxy/apply/succession.ts";
import { applySysctls, planSysctls, readKernelValues } from "../service-proxy/apply/sysctl.ts";
import { formatConfigurationFile } from "../service-proxy/config/node-configuration.ts";
import { parseNodeFlags } from "../service-proxy/config/node-flags.ts";
import { type NodeSettings, nodeNameOf } from "../service-proxy/config/node-settings.ts";
import { formatSettingProblem } from "../service-proxy/config/setting-problem.ts";
import { formatFlagHelp } from "../service-proxy/config/settings-document.ts";
import { runServiceProxy } from "../service-proxy/main.ts";
import { IP_FAMILY } from "../service-proxy/plan/service-plan.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { guardKeys } from "./memory-guard.ts";
import { type OpenedIdentity, openNodeIdentity } from "./node-identity.ts";
import { openSource, selectionFor } from "./node-source.ts";
import { VERSION } from "./version.ts";

/** Exit codes of every Innermesh program. */
const FINE = 0;
const PROBLEM = 1;
const WRONG_USE = 2;
const UNREACHABLE = 3;

/** Abstract UNIX socket: one for each network namespace, gone with its process. */
const PLACE = "innermesh-node";

/** Why the agent ends by itself. */
const CONFIGURATION_CHANGED = "the configuration file changed";
/** What the new file says should hold soon. */
const HURRIED_DRAIN_MS = 10_000;

/** After the first sync: by then reports and clean-up of the start are over. */
const SETTLED_AFTER_MS = 2_000;

/**
 * Runs the node role until SIGTERM or SIGINT, or does the one thing a flag asks for.
 * @param argv kube-proxy's flags and ours
 * @returns the exit code
 */
export async function runNode(argv: readonly string[]): Promise<number> {
  const { settings, warnings, errors } = parseNodeFlags(argv, (path) => readFileSync(path, "utf8"));
  for (const problem of [...warnings, ...errors]) {
    process.stderr.write(`${formatSettingProblem(problem)}\n`);
  }
  if (errors.length > 0) return WRONG_USE;
  const log = makeLogger({
    level: levelOfVerbosity(settings.log.verbosity),
    format: settings.log.format,
    destination: process.stderr,
  });
  const { action } = settings;
  switch (action.kind) {
    case "version":
      process.stdout.write(`innermesh ${VERSION}\n`);
      return FINE;
    case "help":
      process.stdout.write(`innermesh node [flags]\n\n${formatFlagHelp()}\n`);
      return FINE;
    case "write-config":
      writeFileSync(action.path, formatConfigurationFile(settings));
      return FINE;
    case "init-only":
      await tuneKernel(settings, log);
      return FINE;
    case "cleanup":
      return (await import("../cli/cleanup.ts")).cleanUp(process.stdout);
    case "run":
      return settings.identity.mode === "none" || guardKeys() ? serve(settings, log) : WRONG_USE;
    default:
      return action satisfies never;
  }
}

async function serve(settings: NodeSettings, log: Logger): Promise<number> {
  const stop = new AbortController();
  const { signal } = stop;
  const told = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => told.abort());
  const succession = new Succession(
    { name: PLACE, userId: 0, clock: systemClock, log, onAsked: () => stop.abort() },
    signal,
  );
  watchConfigFile(settings, log, told);
  const { drainTimeoutMs } = settings.proxy;
  const leave = {
    signal: told.signal,
    limitMs: () => Math.min(drainTimeoutMs, isHurried(told.signal) ? HURRIED_DRAIN_MS : Infinity),
    onDone: () => stop.abort(),
  };
  try {
    await tuneKernel(settings, log);
    await runParts(settings, log, { stop, succession, leave });
    await succession.standBy(told.signal);
    return FINE;
  } catch (error) {
    log.error("innermesh node ends", { error });
    return error instanceof KubeconfigError ? UNREACHABLE : PROBLEM;
  } finally {
    stop.abort(signal.reason);
    succession.close();
  }
}

interface Ends {
  readonly stop: AbortController;
  readonly succession: Succession;
  readonly leave: Leave;
}

/** What all parts of a node share. */
type World = Awaited<ReturnType<typeof openWorld>>;

async function openWorld(settings: NodeSettings, log: Logger, signal: AbortSignal) {
  const nodeName = nodeNameOf(settings, hostname());
  const families: readonly Family[] = existsSync("/proc/net/if_inet6") ? ["ip", "ip6"] : ["ip"];
  const metrics = makeNodeMetrics();
  metrics.buildInfo.set(1, { version: VERSION, node_version: process.version });
  const store = makeStore(selectionFor(settings).kinds);
  const source = await openSource(settings, { nodeName, store, metrics, log, signal });
  const addresses = await hostAddresses(log, signal);
  const kernel = await openKernel(settings, metrics);
  const conntrack = openConntrackTable(systemClock);
  return { nodeName, families, metrics, store, source, addresses, kernel, conntrack, log };
}

async function runParts(settings: NodeSettings, log: Logger, ends: Ends): Promise<void> {
  const { stop, succession } = ends;
  const { signal } = stop;
  const world = await openWorld(settings, log, signal);
  const { source, kernel, conntrack } = world;
  const identity = await openNodeIdentity(
    {
      ...world,
      ...source,
      settings,
      held: succession.held,
      hasPredecessor: () => succession.hasPredecessor,
    },
    signal,
  );
  const serviceProxy = runServices(settings, { world, ends, identity });
  try {
    // Whichever part fails ends the others.
    const parts = [serviceProxy, source.run(), identity?.run(signal) ?? Promise.resolve()];
    await Promise.all(parts.map((part) => part.catch(abortAll(stop))));
  } finally {
    conntrack.close();
    await kernel.close();
    source.close();
  }
}

function runServices(
  settings: NodeSettings,
  parts: {
    readonly world: World;
    readonly ends: Ends;
    readonly identity: OpenedIdentity | undefined;
  },
): Promise<void> {
  const { world, ends, identity } = parts;
  const { nodeName, store, source, addresses, kernel, log } = world;
  return runServiceProxy(
    {
      ...world,
      settings,
      cpus: availableParallelism(),
      clock: systemClock,
      random: Math.random,
      events: source.events,
      apiServerAddresses: source.apiServerAddresses,
      otherNodes: source.nodes.current,
      ready: Promise.all([source.nodes.opened, identity?.prepared]).then(() => {}),
      hostAddresses: addresses.current,
      succession: ends.succession,
      leave: ends.leave,
      ...(identity && { identity: identity.part }),
      onHostChange: (listener) => {
        const stops = [addresses.onChange(listener), source.nodes.onChange(listener)];
        return () => stops.forEach((stopOne) => stopOne());
      },
      onFirstSync: () => {
        log.info("Services are served", { node: nodeName, services: store.services.size });
        takeOver(kernel, log).catch((error: unknown) => log.error("take-over failed", { error }));
        setTimeout(collectGarbage, SETTLED_AFTER_MS).unref();
      },
    },
    ends.stop.signal,
  );
}

function abortAll(stop: AbortController): (error: unknown) => never {
  return (error) => {
    stop.abort();
    throw error;
  };
}

function openKernel({ nftBackend }: NodeSettings, metrics: NodeMetrics): Promise<NftKernel> {
  if (nftBackend === "command") return openCommandKernel();
  return openNetlinkKernel({
    onCommit: ({ sentBytes, durationMs }) => {
      for (const [family, bytes] of sentBytes) {
        const labels = { ip_family: IP_FAMILY[family] };
        metrics.nftSentBytes.add(bytes, labels);
        metrics.nftCommitDuration.observe(durationMs / 1000, labels);
      }
    },
  });
}

/** Follows this host's addresses: NodePorts answer on them and Services may not claim them. */
async function hostAddresses(
  log: Logger,
  signal: AbortSignal,
): Promise<{
  readonly current: () => readonly Address[];
  readonly onChange: (listener: () => void) => () => void;
}> {
  let addresses = await readHostAddresses();
  const listeners = new Set<() => void>();
  const watch = watchAddresses({
    clock: systemClock,
    signal,
    onChange: (list) => {
      const next = [...new Set(list.map(({ address }) => address))].sort();
      if (next.join() === addresses.join()) return;
      addresses = next;
      for (const listener of listeners) listener();
    },
    onError: (error) => log.warn("cannot follow this host's addresses", { error }),
  });
  watch.catch((error: unknown) => log.error("address watch ended", { error }));
  return {
    current: () => addresses,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

async function tuneKernel(settings: NodeSettings, log: Logger): Promise<void> {
  const plan = planSysctls(settings, availableParallelism(), await readKernelValues("/"));
  for (const { message } of await applySysctls(plan, "/")) log.warn(message);
}

/** kube-proxy's rules go only now, when ours stand: no flow finds neither. */
async function takeOver(kernel: NftKernel, log: Logger): Promise<void> {
  const { removed, kept, problems } = await removeKubeProxyLeftovers(kernel);
  if (removed.length > 0) log.info("took over from kube-proxy", { removed, kept });
  for (const problem of problems) log.warn("something of kube-proxy stays", { problem });
}

/** kube-proxy ends when its file changes, and its DaemonSet starts it again; so do we. */
function watchConfigFile(
  { configFilePath }: NodeSettings,
  log: Logger,
  told: AbortController,
): void {
  if (configFilePath === undefined) return;
  watchFile(configFilePath, { interval: 5_000, persistent: false }, () => {
    log.info("the configuration file changed: ending, to be started again", { configFilePath });
    told.abort(CONFIGURATION_CHANGED);
  });
}

function isHurried({ reason }: AbortSignal): boolean {
  return reason === CONFIGURATION_CHANGED;
}

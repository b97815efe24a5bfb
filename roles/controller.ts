// `innermesh controller`: the composition root of the Deployment's process. It reads routes,
// policies and what they depend on, and while it holds the lease writes what is to be said of them.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { systemClock } from "../lib/clock/system-clock.ts";
import { type KubeClient, makeKubeClient } from "../lib/kube/client.ts";
import { inClusterConfig, KubeconfigError, loadKubeconfig } from "../lib/kube/kubeconfig.ts";
import { type Leadership, runElection } from "../lib/kube/lease.ts";
import { runApiSource } from "../lib/kube/source/api-source.ts";
import { StatusBook } from "../lib/kube/status-book.ts";
import { type Kind, type KubeStore, makeStore, ROUTE_KINDS } from "../lib/kube/store.ts";
import { type Logger, levelOfVerbosity, makeLogger } from "../lib/log/logger.ts";
import {
  type ControllerMetrics,
  makeControllerMetrics,
} from "../lib/metrics/controller-metrics.ts";
import { makeAskAgent } from "../netpol-identity/apply/ask-agent.ts";
import { runPolicyStatus } from "../netpol-identity/apply/policy-status.ts";
import { runCertificateAuthority } from "../netpol-identity/ca/ca-main.ts";
import { makeCaMetrics } from "../netpol-identity/ca/ca-metrics.ts";
import type { CaSettings } from "../netpol-identity/ca/ca-settings.ts";
import { keepServing } from "../service-proxy/apply/kept-server.ts";
import { runRouteStatus } from "../service-proxy/apply/route-status.ts";
import type { HostPort } from "../service-proxy/config/host-port.ts";
import { ControllerObserver } from "./controller-observer.ts";
import { makeControllerPages } from "./controller-pages.ts";
import { guardKeys } from "./memory-guard.ts";
import { VERSION } from "./version.ts";

export interface ControllerSettings {
  /** Missing: what a pod is given. */
  readonly kubeconfigPath?: string;
  readonly leaderElect: boolean;
  /** Of the lease. */
  readonly namespace: string;
  /** Missing: no pages. */
  readonly metricsAddress?: HostPort;
  readonly verbosity: number;
  /** Missing: nobody has an identity. */
  readonly authority?: CaSettings;
}

/** Of the lease, and of what runs as it. */
const LEASE = "innermesh-controller";
const KINDS: readonly Kind[] = [
  "Service",
  "Namespace",
  ...ROUTE_KINDS,
  "XMesh",
  "ServiceAccountPolicy",
  "MeshPolicy",
  "ClusterNetworkPolicy",
  // Whom policies select, for whom certificates are signed, and where agents are.
  "Pod",
  "Node",
];
/** Of agents' health servers, which tell what they enforce. */
const AGENT_PORT = 10256;
/** Exit codes of every Innermesh program. */
const FINE = 0;
const PROBLEM = 1;
const WRONG_USE = 2;
const UNREACHABLE = 3;

/**
 * Runs the controller role until SIGTERM or SIGINT.
 * @returns the exit code
 */
export async function runController(settings: ControllerSettings): Promise<number> {
  if (settings.authority !== undefined && !guardKeys()) return WRONG_USE;
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  const level = levelOfVerbosity(settings.verbosity);
  const log = makeLogger({ level, format: "text", destination: process.stderr });
  try {
    await runParts(settings, log, stop);
    return FINE;
  } catch (error) {
    log.error("innermesh controller ends", { error });
    return error instanceof KubeconfigError ? UNREACHABLE : PROBLEM;
  }
}

interface Parts {
  readonly settings: ControllerSettings;
  readonly client: KubeClient;
  readonly store: KubeStore;
  readonly book: StatusBook;
  readonly metrics: ControllerMetrics;
  readonly observer: ControllerObserver;
  /** While this replica leads. */
  leadership?: Leadership;
  readonly log: Logger;
}

async function runParts(
  settings: ControllerSettings,
  log: Logger,
  stop: AbortController,
): Promise<void> {
  const { signal } = stop;
  const { kubeconfigPath } = settings;
  const config =
    kubeconfigPath === undefined
      ? await inClusterConfig(process.env)
      : await loadKubeconfig(kubeconfigPath);
  const metrics = makeControllerMetrics();
  metrics.buildInfo.set(1, { version: VERSION, node_version: process.version });
  const store = makeStore(KINDS);
  const observer = new ControllerObserver({ store, metrics, log, lease: LEASE });
  const client = makeKubeClient(config, systemClock, (answer) => {
    observer.answered(answer, config.server.host);
  });
  const parts: Parts = { settings, client, store, book: new StatusBook(), metrics, observer, log };
  try {
    const all = [
      read(parts, signal),
      stand(parts, signal),
      serve(parts, signal),
      ...signCertificates(parts, signal),
    ];
    // Whichever part fails ends the others.
    const guarded = all.map((part) => part.finally(() => stop.abort()));
    for (const { status, ...result } of await Promise.allSettled(guarded)) {
      if (status === "rejected" && "reason" in result) throw result.reason;
    }
  } finally {
    client.close();
  }
}

/** Followers read too, so that a new leader begins at once. */
function read({ client, store, book, observer }: Parts, signal: AbortSignal): Promise<void> {
  return runApiSource({
    client,
    // It is for none in particular.
    nodeName: "",
    store,
    clock: systemClock,
    random: Math.random,
    signal,
    kinds: KINDS,
    pods: "all",
    nodes: "all",
    adapt: (resource) => book.noting(resource),
    onEvent: (report) => observer.watched(report),
  });
}

function stand(parts: Parts, signal: AbortSignal): Promise<void> {
  const { settings, client, observer } = parts;
  const lead = (leadership: Leadership): Promise<void> => {
    parts.leadership = leadership;
    return writeStatuses(parts, leadership);
  };
  if (!settings.leaderElect) return lead({ signal, holds: () => !signal.aborted });
  const identity = `${hostname()}_${randomUUID()}`;
  const { namespace } = settings;
  const options = { client, namespace, name: LEASE, identity, signal };
  const chance = { clock: systemClock, random: Math.random };
  const onEvent = observer.elected({ client, namespace, identity, signal });
  return runElection({ ...options, ...chance, onEvent }, lead);
}

async function writeStatuses(
  { client, store, book, observer }: Parts,
  leadership: Leadership,
): Promise<void> {
  const parts = { store, book, client, clock: systemClock, random: Math.random };
  await Promise.all([
    runRouteStatus(leadership, {
      ...parts,
      onEvent: (event) => observer.status(event, "status"),
    }),
    runPolicyStatus(leadership, {
      ...parts,
      ask: makeAskAgent(AGENT_PORT),
      onEvent: (event) => observer.status(event, "policy-status"),
    }),
  ]);
}

/** Every replica signs; the one that leads rotates roots and publishes them. */
function signCertificates(parts: Parts, signal: AbortSignal): readonly Promise<void>[] {
  const { settings, client, store, metrics, log } = parts;
  if (settings.authority === undefined) return [];
  const authority = {
    settings: settings.authority,
    client,
    store,
    leads: () => parts.leadership?.holds() ?? false,
    clock: systemClock,
    log,
    metrics: makeCaMetrics(metrics.page),
  };
  return [runCertificateAuthority(authority, signal)];
}

async function serve({ settings, store, metrics, log }: Parts, signal: AbortSignal): Promise<void> {
  const { metricsAddress: address } = settings;
  if (address === undefined) return aborted(signal);
  const handler = makeControllerPages({ metrics: metrics.page, isReady: () => store.synced });
  const onFailure = (error: Error): void => log.error("cannot serve metrics", { error });
  const server = { address, handler, hardFail: false, onFailure };
  await keepServing(server, { clock: systemClock, signal });
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

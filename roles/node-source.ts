// Where the node role's snapshot comes from: an API server or a directory, as the settings say.

import { systemClock } from "../lib/clock/system-clock.ts";
import { type Address, parseAddress } from "../lib/ip/address.ts";
import { type AnswerReport, type KubeClient, makeKubeClient } from "../lib/kube/client.ts";
import { type ClientConfig, inClusterConfig, loadKubeconfig } from "../lib/kube/kubeconfig.ts";
import { type NodeAddressBook, openNodeAddressBook } from "../lib/kube/node-address-book.ts";
import {
  ALL_KINDS,
  type ApiSourceOptions,
  IDENTITY_KINDS,
  POLICY_KINDS,
  runApiSource,
} from "../lib/kube/source/api-source.ts";
import { runDirectorySource } from "../lib/kube/source/directory-source.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { WatchReport } from "../lib/kube/watch-report.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { NodeMetrics } from "../lib/metrics/node-metrics.ts";
import { type EventSink, makeEventSink } from "../service-proxy/apply/events.ts";
import type { NodeSettings } from "../service-proxy/config/node-settings.ts";

/** A source that is ready to run. */
export interface Source {
  /** Missing where objects come from a directory. */
  readonly client?: KubeClient;
  readonly onWatchEvent: (report: WatchReport) => void;
  readonly run: () => Promise<void>;
  readonly close: () => void;
  readonly events: EventSink;
  /** Where this node reaches the API server, when that is no name. */
  readonly apiServerAddresses: readonly Address[];
  readonly nodes: Pick<NodeAddressBook, "current" | "opened" | "onChange">;
}

export interface SourceContext {
  readonly nodeName: string;
  readonly store: KubeStore;
  readonly metrics: NodeMetrics;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What a node has to know: more where pods have identities, most where it enforces policies. */
export function selectionFor({
  identity,
  networkPolicy,
}: NodeSettings): Required<Pick<ApiSourceOptions, "kinds" | "pods" | "nodes">> {
  if (networkPolicy === "enforce") return { kinds: POLICY_KINDS, pods: "all", nodes: "all" };
  if (identity.mode === "none") return { kinds: ALL_KINDS, pods: "of-node", nodes: "own" };
  return { kinds: IDENTITY_KINDS, pods: "all", nodes: "own" };
}

/** @throws KubeconfigError */
export async function openSource(settings: NodeSettings, context: SourceContext): Promise<Source> {
  const { nodeName, store, signal } = context;
  const onEvent = (report: WatchReport): void => noteWatch(report, context);
  const { source } = settings;
  if (source.kind === "directory") {
    const { path } = source;
    const { nodes } = selectionFor(settings);
    const options = { path, store, clock: systemClock, nodeName, nodes, signal, onEvent };
    return {
      onWatchEvent: onEvent,
      run: () => runDirectorySource(options),
      close: () => {},
      events: { report: () => {} },
      apiServerAddresses: [],
      nodes: { current: () => [], opened: Promise.resolve(), onChange: () => () => {} },
    };
  }
  const config = await clientConfig(source);
  const client = makeKubeClient(config, systemClock, (answer) => {
    noteAnswer(answer, config.server.host, context.metrics);
  });
  const host = parseAddress(config.server.hostname.replace(/^\[|\]$/g, ""));
  const options = { client, nodeName, store, clock: systemClock, random: Math.random };
  const selection = selectionFor(settings);
  return {
    client,
    onWatchEvent: onEvent,
    run: () => runApiSource({ ...options, ...selection, signal, onEvent }),
    close: () => client.close(),
    events: eventSink(client, context),
    apiServerAddresses: host === undefined ? [] : [host],
    nodes: nodeAddresses(client, context),
  };
}

/** `--master` wins over the server that a kubeconfig names, and does without one. */
async function clientConfig({
  kubeconfigPath,
  masterUrl,
}: Extract<NodeSettings["source"], { kind: "kube" }>): Promise<ClientConfig> {
  const server = masterUrl === undefined ? {} : { server: new URL(masterUrl) };
  if (kubeconfigPath !== undefined) return { ...(await loadKubeconfig(kubeconfigPath)), ...server };
  if (masterUrl === undefined) return inClusterConfig(process.env);
  return { server: new URL(masterUrl), token: { kind: "none" }, insecureSkipTlsVerify: false };
}

function eventSink(client: KubeClient, { nodeName, metrics, signal }: SourceContext): EventSink {
  return makeEventSink({
    nodeName,
    createEvent: async (event) => {
      const path = `/apis/events.k8s.io/v1/namespaces/${event.metadata.namespace}/events`;
      await client.create(path, event, { signal });
    },
    clock: systemClock,
    random: Math.random,
    signal,
    onDropped: (reason) => metrics.eventsDropped.add(1, { reason }),
  });
}

function noteAnswer(
  { method, code, durationMs }: AnswerReport,
  host: string,
  metrics: NodeMetrics,
): void {
  metrics.clientRequests.add(1, { code, method, host });
  metrics.clientRequestDuration.observe(durationMs / 1000, { verb: method, host });
}

function noteWatch({ resource, kind, why }: WatchReport, { metrics, log }: SourceContext): void {
  if (kind === "failed") {
    log.warn("watch failed; what is known stays in force", { kind: resource, why });
    metrics.sourceRelists.add(1, { kind: resource, reason: "failed" });
    return;
  }
  if (kind === "absent") log.info("not watched", { kind: resource, why });
  metrics.sourceEventTime.set(systemClock.wallMs() / 1000, { kind: resource });
}

function nodeAddresses(client: KubeClient, { store, log, signal }: SourceContext): NodeAddressBook {
  return openNodeAddressBook({
    client,
    clock: systemClock,
    random: Math.random,
    signal,
    isNeeded: () =>
      store.services
        .values()
        .some(
          ({ externalIPs, loadBalancerVips }) => externalIPs.length + loadBalancerVips.length > 0,
        ),
    onError: (error) => log.warn("cannot read the addresses of all nodes", { error }),
  });
}

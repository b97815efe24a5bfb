// What this node trusts, as the certificate authority publishes it in a ConfigMap: watched, and
// kept as it was last read while nobody answers.

import type { Clock } from "../../lib/clock/clock.ts";
import { parseConfigMap } from "../../lib/kube/api/config-map.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { runReflector } from "../../lib/kube/watch.ts";
import type { WatchReport } from "../../lib/kube/watch-report.ts";
import { NO_TRUST, parseTrust, type Trust } from "../model/trust.ts";

/** Whoever signs for this node, and whom it believes. */
export interface TrustSource {
  readonly trust: () => Trust;
  /** The certificate that signs now; missing where nobody tells. */
  readonly signer?: () => string | undefined;
  /** @returns how to stop listening */
  readonly onChange: (listener: () => void) => () => void;
}

export interface TrustWatchParts {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the ConfigMap. */
  readonly name: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onEvent: (report: WatchReport) => void;
}

/** Watches until `signal` aborts. */
export function watchTrust(parts: TrustWatchParts, signal: AbortSignal): TrustSource {
  const { namespace, name } = parts;
  const store = makeStore(["ConfigMap"]);
  void runReflector({
    ...parts,
    store,
    signal,
    resource: {
      kind: "ConfigMap",
      scope: "namespaced",
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      query: { fieldSelector: `metadata.name=${name}` },
      presence: "required",
      parse: parseConfigMap,
    },
  });
  let trust = NO_TRUST;
  // One that was deleted takes no trust away: the authority writes it again.
  const read = (): void => {
    const published = store.configMaps.get(`${namespace}/${name}`);
    if (published !== undefined) trust = parseTrust(published.data);
  };
  const stop = store.onChange(read);
  signal.addEventListener("abort", stop);
  return { trust: () => trust, onChange: (listener) => store.onChange(listener) };
}

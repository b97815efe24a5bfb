// The certificate authority as a whole: what a composition root starts on every replica of the
// controller.

import { randomBytes } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { CaMetrics } from "./ca-metrics.ts";
import { type CaSettings, caDnsNames } from "./ca-settings.ts";
import { CaUpkeep } from "./ca-upkeep.ts";
import { CallerReview } from "./caller-review.ts";
import { runSigningServer } from "./signing-server.ts";
import { SigningService } from "./signing-service.ts";

export interface CertificateAuthorityParts {
  readonly settings: CaSettings;
  readonly client: Pick<KubeClient, "getJson" | "create" | "replace">;
  /** Its pods are those of the whole cluster. */
  readonly store: Pick<KubeStore, "pods" | "synced">;
  /** Whether this replica leads at this very moment. */
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: CaMetrics;
}

/**
 * Runs until `signal` aborts.
 * @throws when its port cannot be had
 */
export async function runCertificateAuthority(
  parts: CertificateAuthorityParts,
  signal: AbortSignal,
): Promise<void> {
  const { settings, client, store, clock, log, metrics } = parts;
  const { audiences, callers: accounts, trustDomain, hostNetworkPods } = settings;
  const upkeep = new CaUpkeep({ ...parts, randomBytes });
  const active = () => upkeep.active;
  const service = new SigningService({
    active,
    bans: () => upkeep.bans,
    callers: new CallerReview({ client, audiences, clock, signal }),
    store,
    rules: { accounts, audiences, trustDomain, hostNetworkPods },
    clock,
    log,
    metrics,
  });
  const { listen, namespace } = settings;
  const dnsNames = caDnsNames(namespace);
  const createCertificate = service.createCertificate.bind(service);
  const server = { listen, dnsNames, active, createCertificate, clock, log, metrics };
  // Whichever part fails ends the other.
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const all = [upkeep.run(stopped), runSigningServer(server, stopped)];
  const guarded = all.map((part) => part.finally(() => stop.abort()));
  for (const result of await Promise.allSettled(guarded)) {
    if (result.status === "rejected") throw result.reason;
  }
}

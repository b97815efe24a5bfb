// What proxy workers should know of identities, and what they have not been told yet. What is new
// is told before the kernel lets packets in, what is gone is taken back once it lets none in any
// more. A value holder: no I/O, no clock.

import type {
  NodeBan,
  SpiffeUri,
  TunnelCredential,
  TunnelPeer,
  TunnelPlanDelta,
  TunnelWorkload,
} from "../model/tunnel-plan.ts";
import { LedgerTable } from "./ledger-table.ts";

/** Everything that workers know of identities. */
export interface TunnelState {
  /** Roots by trust domain, PEM. */
  readonly bundles: ReadonlyMap<string, readonly string[]>;
  readonly credentials: ReadonlyMap<SpiffeUri, TunnelCredential>;
  /** By address. */
  readonly workloads: ReadonlyMap<string, TunnelWorkload>;
  /** By address. */
  readonly peers: ReadonlyMap<string, TunnelPeer>;
  /** What processes of the node itself are. */
  readonly host: TunnelWorkload | undefined;
  readonly bans: readonly NodeBan[];
}

/**
 * Where an address went from one pod to another between two looks, a delta has it twice: as gone,
 * then as the new pod's, so that what the old one had ends before the new one has anything. Workers
 * apply the entries of a list in its order.
 */
export class TunnelLedger {
  readonly #bundles = new LedgerTable<readonly string[]>((a, b) => a.join() === b.join());
  readonly #credentials = new LedgerTable<TunnelCredential>((a, b) => a.chain === b.chain);
  readonly #workloads = new LedgerTable<TunnelWorkload>(isSameWorkload, isSamePod);
  readonly #peers = new LedgerTable<TunnelPeer>((a, b) => a.identity === b.identity, isSamePod);
  #host: TunnelWorkload | undefined;
  #toldHost: TunnelWorkload | undefined;
  #bans: readonly NodeBan[] = [];
  #toldBans = "[]";

  /** Replaces the parts that are given. */
  replace(state: Partial<TunnelState>): void {
    const { bundles, credentials, workloads, peers, bans } = state;
    if ("host" in state) this.#host = state.host;
    if (bundles !== undefined) this.#bundles.wanted = bundles;
    if (credentials !== undefined) this.#credentials.wanted = credentials;
    if (workloads !== undefined) this.#workloads.wanted = workloads;
    if (peers !== undefined) this.#peers.wanted = peers;
    if (bans !== undefined) this.#bans = bans;
  }

  /** What is new or differs since the last call. */
  takeFresh(): TunnelPlanDelta {
    const bans = JSON.stringify(this.#bans);
    const areNew = bans !== this.#toldBans;
    this.#toldBans = bans;
    const host = this.#host === this.#toldHost ? undefined : this.#host;
    this.#toldHost = this.#host ?? this.#toldHost;
    return {
      bundles: this.#bundles.takeFresh(),
      credentials: this.#credentials.takeFresh(),
      workloads: this.#workloads.takeFresh(),
      peers: this.#peers.takeFresh(),
      ...(host !== undefined && { host }),
      ...(areNew && { bans: this.#bans }),
    };
  }

  /** What workers were told and is gone. */
  takeGone(): TunnelPlanDelta {
    const isGone = this.#host === undefined && this.#toldHost !== undefined;
    if (isGone) this.#toldHost = undefined;
    return {
      bundles: this.#bundles.takeGone(),
      credentials: this.#credentials.takeGone(),
      workloads: this.#workloads.takeGone(),
      peers: this.#peers.takeGone(),
      ...(isGone && { host: null }),
    };
  }

  /** Everything, for a worker that knows nothing. */
  whole(): TunnelPlanDelta {
    return {
      bundles: [...this.#bundles.wanted],
      credentials: [...this.#credentials.wanted],
      workloads: [...this.#workloads.wanted],
      peers: [...this.#peers.wanted],
      host: this.#host ?? null,
      bans: this.#bans,
    };
  }
}

/** Nothing in it to tell. */
export function isEmptyDelta(delta: TunnelPlanDelta): boolean {
  const { bundles, credentials, workloads, peers, host, bans } = delta;
  if (bans !== undefined || host !== undefined) return false;
  return bundles.length + credentials.length + workloads.length + peers.length === 0;
}

function isSamePod(a: { readonly uid: string }, b: { readonly uid: string }): boolean {
  return a.uid === b.uid;
}

/** Of one uid: its name and ServiceAccount cannot change. */
function isSameWorkload(a: TunnelWorkload, b: TunnelWorkload): boolean {
  return a.identity === b.identity && a.mode === b.mode;
}

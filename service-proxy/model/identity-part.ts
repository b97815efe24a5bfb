// What the lanes ask of the part of the node that proves identities, and give to it. Both live in
// the same workers; a composition root joins them.

import type { Transaction } from "../../lib/nft/objects.ts";
import type { LaneGate } from "./lane-gate.ts";

/** Proxy workers, as the part that proves identities sees them. */
export interface SharedWorkers {
  /** Starts them, unless they run: now, or when the lanes have their first plan. */
  start(): void;
  /** Tells each of them. Resolves when it is in force, or soon. */
  update(delta: unknown): Promise<void>;
  /** True while some worker takes connections. */
  healthy(): boolean;
  /** Commits to tables beside the lanes', whose audits do not take it for a stranger's. */
  commit(transactions: readonly Transaction[]): Promise<void>;
}

/** What somebody asks about identities. */
export interface IdentityQuestion {
  /** Whether to list the enrolled pods elsewhere, of which there may be thousands. */
  readonly peers: boolean;
}

export interface IdentityPart {
  /** Called once, before any worker runs. */
  share(workers: SharedWorkers): void;
  /** All that a worker needs that starts now. */
  whole(): unknown;
  /** What a worker counted since it last said. */
  onTelemetry(worker: number, telemetry: unknown): void;
  /** It says nothing more. */
  onEnded(worker: number): void;
  /**
   * Whether a pod of this node that has an identity may call an endpoint of this Service that has
   * one. When the answer changes, the Service is marked as changed in the store.
   * @param service `namespace/name`
   */
  hasIdentities(service: string): boolean;
  /** Missing where no policies are kept. */
  readonly gate?: LaneGate;
  /** Which policies hold here, for the controller; missing where none are kept. */
  readonly enforcement?: Readonly<Record<"revision" | "report", () => string>>;
  /** What the CLI may be told: plain data without secrets. */
  describe(question: IdentityQuestion): unknown;
  /** Missing where no policies are kept. */
  readonly records?: Readonly<Record<"edges" | "denials", () => unknown>>;
}

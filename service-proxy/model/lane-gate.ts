// What lanes ask of the part that knows policies. A worker takes a connection before it can judge
// it, so who may connect at all is settled in the kernel, at the first packet.

import type { Family } from "../../lib/nft/objects.ts";

export interface GateEndpoint {
  readonly address: string;
  readonly port: number;
  /** Its node takes this node for the client, unless a tunnel tells who that is. */
  readonly isMasqueraded?: true;
}

/** One entry point of a Service in a lane. */
export interface GateQuestion {
  /** Whom clients that are pods of this node are led to; nobody is no reason to drop anybody. */
  readonly inside: readonly GateEndpoint[];
  /** Whom all others are led to. */
  readonly outside: readonly GateEndpoint[];
  /** Pods of other nodes may come this way. */
  readonly isExternal: boolean;
}

/** Who may open connections there. */
export interface GateAnswer {
  /** Somebody may not. */
  readonly isGuarded: boolean;
  /**
   * Pods of this node that may, by address. Of an entry point that is not guarded only those are
   * listed that are restricted in whom they call.
   */
  readonly pods: readonly string[];
  /** Where others that may are: disjoint prefixes. Empty where the entry point is not guarded. */
  readonly blocks: readonly string[];
  /** Nobody there lets in processes of this node. */
  readonly deniesNode: boolean;
}

/** Pods of this node with addresses of their own. */
export interface GatedPods {
  readonly all: readonly string[];
  /** … that are restricted in whom they call. */
  readonly isolated: readonly string[];
}

/** All answers are of one moment; when one of them changes, the store announces it. */
export interface LaneGate {
  /** Of nfnetlink_log, told of some that may not; asked for once, before the first plan. */
  readonly logGroup?: number | undefined;
  gatedPods(family: Family): GatedPods;
  /**
   * Takes the place of what was asked about the Service in that family before. When an answer
   * changes, the Service is marked as changed in the store.
   * @param service `namespace/name`
   * @returns one answer for each question
   */
  ask(service: string, family: Family, questions: readonly GateQuestion[]): readonly GateAnswer[];
}

// What a node denied for policies lately, as it is told.

import type { Direction } from "./policy.ts";

export interface DenialReport {
  readonly node: string;
  /** The newest last. */
  readonly denials: readonly Denial[];
}

/**
 * Who denied it: the kernel; the kernel, before a worker would have taken a call to a Service; or
 * a worker.
 */
export type DeniedBy = "kernel" | "gate" | "worker";

/** A connection that was tried, or a request. */
export interface Denial {
  readonly by: DeniedBy;
  /** Wall time when it was last seen, milliseconds since 1970. */
  readonly atMs: number;
  readonly direction: Direction;
  /** The rule's name, or a sentence without its full stop. */
  readonly rule: string;
  /** `TCP`, `UDP`, `SCTP`, `ICMP`, or its number. */
  readonly protocol: string;
  readonly source: string;
  /** 0 where a worker denied it. */
  readonly sourcePort: number;
  /** Behind every translation; an address of the Service where it came to none of its pods. */
  readonly destination: string;
  /** 0 for protocols without ports. */
  readonly port: number;
  /** `namespace/name`; missing for what is no pod. */
  readonly sourcePod?: string;
  readonly destinationPod?: string;
  /** `namespace/name` of what was called, where a worker or the gate before it denied. */
  readonly service?: string;
  /** Of a request. */
  readonly method?: string;
  /** Without its query. */
  readonly path?: string;
  /** Packets that were seen: the kernel tells of some. Of a worker, connections or requests. */
  readonly packets: number;
}

/** What a worker denied. */
export interface WorkerDenial {
  readonly client: string;
  /** The pod; missing where none was chosen. */
  readonly endpoint?: { readonly address: string; readonly port: number };
  /** `namespace/name:port`; missing where a pod was called itself. */
  readonly service?: string;
  readonly rule: string;
  readonly method?: string;
  readonly path?: string;
  /** How often. */
  readonly times: number;
}

// What a node's kernel dropped for policies lately, as it is told.

import type { Direction } from "./policy.ts";

export interface DenialReport {
  readonly node: string;
  /** The newest last. */
  readonly denials: readonly Denial[];
}

/** A connection that was tried. */
export interface Denial {
  /** Wall time of its last packet that was seen, milliseconds since 1970. */
  readonly atMs: number;
  readonly direction: Direction;
  /** The rule's name, or a sentence without its full stop. */
  readonly rule: string;
  /** `TCP`, `UDP`, `SCTP`, `ICMP`, or its number. */
  readonly protocol: string;
  readonly source: string;
  readonly sourcePort: number;
  /** Behind every translation. */
  readonly destination: string;
  /** 0 for protocols without ports. */
  readonly port: number;
  /** `namespace/name`; missing for what is no pod. */
  readonly sourcePod?: string;
  readonly destinationPod?: string;
  /** Packets that were seen: the kernel tells of some only. */
  readonly packets: number;
}

// What `flow-program.ts` is asked.

import type { FrameFacts } from "./frame.ts";
import type { Target } from "./rig.ts";

/** The first source port of a flood. */
export const FIRST_PORT = 1_024;

export interface FlowCalls {
  /** Sends `packets` frames over an interface; source ports take turns, `flows` of them. */
  readonly flood: {
    readonly request: {
      readonly interfaceIndex: number;
      readonly frame: FrameFacts;
      readonly flows: number;
      readonly packets: number;
    };
    /** Time of the processor for each packet, in nanoseconds. */
    readonly reply: { readonly cpuNs: number };
  };
  /** Opens TCP connections one after the other and resets each as soon as it stands. */
  readonly connect: {
    readonly request: { readonly target: Target; readonly count: number };
    readonly reply: { readonly durationsUs: readonly number[] };
  };
}

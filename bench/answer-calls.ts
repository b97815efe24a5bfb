// What `answer-program.ts` is asked.

import type { Target } from "./rig.ts";

export interface AnswerCalls {
  /** Waits until each target has answered; the time is that of the last one's answer. */
  readonly all: {
    readonly request: { readonly targets: readonly Target[]; readonly limitMs: number };
    readonly reply: { readonly atMs: number };
  };
  /** Waits until the target's answer comes from `backend`, an address. */
  readonly from: {
    readonly request: {
      readonly target: Target;
      readonly backend: string;
      readonly limitMs: number;
    };
    readonly reply: { readonly atMs: number };
  };
}

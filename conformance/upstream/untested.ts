// What a kernel without SCTP cannot test. Probes are sockets of pods, so there is no way around it.

import type { CaseResult } from "../case-result.ts";
import type { SuiteOptions } from "./suite-program.ts";

/** What suites with tests of SCTP are told beside. */
export interface SctpSuiteOptions extends SuiteOptions {
  /** Whether the kernel has it. */
  readonly sctp: boolean;
}

/** The result of a test whose every probe is SCTP. */
export function untested(suite: string, id: string): CaseResult {
  return {
    suite,
    id,
    name: id,
    family: "ip",
    outcome: { kind: "skipped", why: "it needs SCTP, which this kernel has not" },
    tookMs: 0,
    observations: [],
    leftovers: [],
  };
}

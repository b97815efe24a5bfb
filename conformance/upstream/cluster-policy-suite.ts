// Runs the ClusterNetworkPolicy suite of the network policy API as a program against a live
// cluster, and keeps what it says.

import type { CaseResult } from "../case-result.ts";
import { parseGoTests } from "./go-test-output.ts";
import {
  formatFlags,
  IMPLEMENTATION,
  notBegun,
  recordRun,
  runSuiteProgram,
  type SuiteRun,
} from "./suite-program.ts";
import { type SctpSuiteOptions, untested } from "./untested.ts";

const SUITE = "cnp";
const PROFILE = "ClusterNetworkPolicy";
/** All that there are: the standard one, and two of the experimental channel. */
const FEATURES = [PROFILE, `${PROFILE}NamedPorts`, `${PROFILE}EgressNodePeers`];

/** Tests whose every probe is SCTP: not to be run where the kernel has none. */
const SCTP_TESTS: readonly string[] = [
  "CNPAdminTierEgressSCTP",
  "CNPAdminTierIngressSCTP",
  "CNPBaselineTierEgressSCTP",
  "CNPBaselineTierIngressSCTP",
];
/**
 * Tests with some probes of SCTP. Without it they cannot end well: the report leaves them out, and
 * they run once more outside of it, for the sake of the probes before the first of SCTP.
 */
const MIXED_TESTS: readonly string[] = [
  "CNPAdminTierEgressInlineCIDRPeers",
  "CNPAdminTierEgressNodePeers",
  "CNPAdminTierGress",
  "CNPBaselineTierEgressInlineCIDRPeers",
  "CNPBaselineTierEgressNodePeers",
  "CNPBaselineTierGress",
];
const UNTIL_SCTP = "passed until its first probe of SCTP, which this kernel has not";
const COMMAND = /FAILED Command was \[[^\]]*\]/g;
/** Said of a probe that came true and then did not hold; the test goes on. */
const RELAPSE = "Should be true";

/** @throws ConformanceError when the suite could not begin its tests */
export function runClusterPolicySuite(options: SctpSuiteOptions): Promise<SuiteRun> {
  return recordRun(SUITE, options, `${SUITE}-report.yaml`, async (reportFile) => {
    const cases = await runParts(options, reportFile);
    return options.sctp ? cases : cases.map(judgeWithoutSctp);
  });
}

async function runParts(
  options: SctpSuiteOptions,
  reportFile: string,
): Promise<readonly CaseResult[]> {
  const { onlyTest, sctp } = options;
  if (onlyTest !== undefined) return runTests(options, SUITE, { only: onlyTest });
  if (sctp) return runTests(options, SUITE, { reportFile });
  const skip = [...SCTP_TESTS, ...MIXED_TESTS];
  const first = await runTests(options, SUITE, { reportFile, skip, stays: true });
  const mixed = await runTests(options, `${SUITE}-mixed`, { only: MIXED_TESTS.join("|") });
  const none = SCTP_TESTS.map((id) => untested(SUITE, id));
  return [...first.filter(({ id }) => !skip.includes(id)), ...mixed, ...none];
}

interface Selection {
  /** Regular expression of whole names. */
  readonly only?: string;
  readonly skip?: readonly string[];
  readonly reportFile?: string;
  /** Leaves the suite's pods for the next run. */
  readonly stays?: boolean;
}

async function runTests(
  options: SctpSuiteOptions,
  logName: string,
  { only, skip = [], reportFile = "", stays = false }: Selection,
): Promise<readonly CaseResult[]> {
  const flags = formatFlags({
    "test.run": only === undefined ? "^TestConformance$" : `^TestConformance$/^(${only})$`,
    "test.timeout": "0",
    "conformance-profiles": PROFILE,
    "supported-features": FEATURES.join(","),
    "skip-tests": skip.join(","),
    "report-output": reportFile,
    "cleanup-base-resources": !stays,
    ...IMPLEMENTATION,
    "additional-info": IMPLEMENTATION.url,
    version: options.version,
  });
  const output = await runSuiteProgram(logName, ["-test.v", ...flags], options);
  const cases = parseGoTests(SUITE, output, 2);
  if (cases.length === 0) throw notBegun(SUITE, output);
  return cases;
}

/** A test ends with the first probe that does not come true: that must be the first of SCTP. */
export function judgeWithoutSctp(result: CaseResult): CaseResult {
  const { outcome } = result;
  if (outcome.kind !== "failed" || outcome.why.includes(RELAPSE)) return result;
  const last = outcome.why.match(COMMAND)?.at(-1);
  if (!last?.includes("--protocol=sctp")) return result;
  return { ...result, outcome: { kind: "skipped", why: UNTIL_SCTP } };
}

// Runs Kubernetes' own specs of NetworkPolicy, which are a part of its e2e suite, as a program
// against a live cluster, and keeps what it says.

import { readFile } from "node:fs/promises";
import { parseGinkgoReport } from "./ginkgo-report.ts";
import {
  formatFlags,
  notBegun,
  recordRun,
  runSuiteProgram,
  type SuiteRun,
} from "./suite-program.ts";
import { type SctpSuiteOptions, untested } from "./untested.ts";

const SUITE = "netpol";
/** The program has specs of other things, too. */
const SPECS = String.raw`\[sig-network\] Netpol`;

/** Specs whose every probe is SCTP: not to be run where the kernel has none. */
const SCTP_SPECS: readonly string[] = [
  "should enforce policy based on Ports",
  "should enforce policy to allow traffic only from a pod in a different namespace based on " +
    "PodSelector and NamespaceSelector",
  "should support a 'default-deny-ingress' policy",
].map((name) => `NetworkPolicy between server and client using SCTP: ${name}`);

/** @throws ConformanceError when the suite could not begin its specs */
export async function runNetworkPolicySuite(options: SctpSuiteOptions): Promise<SuiteRun> {
  const { onlyTest, sctp } = options;
  const name = `${SUITE}-report.json`;
  const { result } = await recordRun(SUITE, options, name, async (reportFile) => {
    const output = await runSuiteProgram(SUITE, flagsOf(options, reportFile), options);
    const text = await readFile(reportFile, "utf8").catch(() => "[]");
    const cases = parseGinkgoReport(SUITE, text);
    if (cases.length === 0) throw notBegun(SUITE, output);
    const isWhole = onlyTest === undefined;
    const missed = isWhole && !sctp ? SCTP_SPECS.map((id) => untested(SUITE, id)) : [];
    return [...cases, ...missed];
  });
  // Its report is read here, and nobody's to keep.
  return { result, report: undefined };
}

function flagsOf(
  { kubeconfigFile, nodes, onlyTest, sctp }: SctpSuiteOptions,
  reportFile: string,
): readonly string[] {
  const flags = formatFlags({
    kubeconfig: kubeconfigFile,
    provider: "skeleton",
    "num-nodes": String(nodes.length),
    // Whole logs of a failure's namespaces drown its own words.
    "dump-logs-on-failure": false,
    "ginkgo.focus": onlyTest === undefined ? SPECS : `${SPECS}.*${onlyTest}`,
    // A regular expression of names in Ginkgo's spelling, with only spaces between texts.
    ...(sctp ? {} : { "ginkgo.skip": SCTP_SPECS.join("|").replaceAll(":", "") }),
    "ginkgo.timeout": "3h",
    "ginkgo.no-color": true,
    "ginkgo.json-report": reportFile,
  });
  return ["-test.timeout=0", ...flags];
}

// Runs the Gateway API's own suite as a program against a live cluster, and keeps what it says.

import { parseGoTests } from "./go-test-output.ts";
import {
  formatFlags,
  IMPLEMENTATION,
  notBegun,
  recordRun,
  runSuiteProgram,
  type SuiteOptions,
  type SuiteRun,
} from "./suite-program.ts";

const SUITE = "gateway-api";
/** Those about Services. A claim to them is one to their core features. */
const PROFILES = ["MESH-HTTP", "MESH-GRPC"];

/**
 * Tests of Services that no profile of 1.6 counts, because each needs a feature of another one: the
 * suite runs them, and its report leaves them out.
 */
export const TESTS_WITHOUT_PROFILE: readonly string[] = [
  "MeshConsumerRoute",
  "MeshFrontend",
  "MeshFrontendHostname",
  "MeshHTTPRoute303Redirect",
  "MeshHTTPRoute307Redirect",
  "MeshHTTPRoute308Redirect",
  "MeshPorts",
];

export interface GatewayApiSuite extends SuiteOptions {
  /** What is claimed, in the API's names: the suite tests all of it, and nothing else. */
  readonly features: readonly string[];
}

/**
 * Runs the tests of all features that are claimed, those outside of the profiles too.
 * @throws ConformanceError when the suite could not begin its tests
 */
export function runGatewayApiSuite(options: GatewayApiSuite): Promise<SuiteRun> {
  return recordRun(SUITE, options, `${SUITE}-report.yaml`, async (reportFile) => {
    const output = await runSuiteProgram(SUITE, flagsOf(options, reportFile), options);
    const cases = parseGoTests(SUITE, output);
    if (cases.length === 0) throw notBegun(SUITE, output);
    return cases;
  });
}

function flagsOf(
  { features, version, onlyTest }: GatewayApiSuite,
  reportFile: string,
): readonly string[] {
  const flags = formatFlags({
    "supported-features": features.join(","),
    "conformance-profiles": PROFILES.join(","),
    ...(onlyTest === undefined ? { "report-output": reportFile } : { "run-test": onlyTest }),
    // Without Gateways there is no class to look for.
    "gateway-class": "",
    ...IMPLEMENTATION,
    version,
  });
  return ["-test.v", "-test.timeout=60m", "-test.run=^TestConformance$", ...flags];
}

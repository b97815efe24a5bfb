// Runs the Gateway API's own suite as a program against a live cluster, and keeps what it says.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import type { RunResult } from "../case-result.ts";
import { ConformanceError } from "../conformance-error.ts";
import { parseGoTests } from "./go-test-output.ts";

const SUITE = "gateway-api";
const URL = "https://innermesh.io";
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

export interface GatewayApiSuite {
  /** The suite, compiled; see ./gateway-api. */
  readonly program: string;
  /** An administrator's. */
  readonly kubeconfigFile: string;
  /** Made when missing: gets the raw output and the suite's report. */
  readonly directory: string;
  /** What is claimed, in the API's names: the suite tests all of it, and nothing else. */
  readonly features: readonly string[];
  /** Version of the implementation, for the report. */
  readonly version: string;
  /** One test alone; then there is no report. */
  readonly onlyTest?: string;
  readonly nodes: readonly string[];
  readonly signal?: AbortSignal;
}

export interface GatewayApiRun {
  readonly result: RunResult;
  /** The suite's ConformanceReport, byte by byte; undefined when it wrote none. */
  readonly report: string | undefined;
}

/**
 * Runs the tests of all features that are claimed, those outside of the profiles too.
 * @throws ConformanceError when the suite could not begin its tests
 */
export async function runGatewayApiSuite(options: GatewayApiSuite): Promise<GatewayApiRun> {
  const { directory, program } = options;
  await mkdir(directory, { recursive: true });
  const reportFile = join(directory, "gateway-api-report.yaml");
  await rm(reportFile, { force: true });
  const startedAt = new Date();
  const startMs = performance.now();
  const output = await runProgram(program, flagsOf(options, reportFile), options);
  const cases = parseGoTests(SUITE, output);
  if (cases.length === 0) {
    const end = output.trim().split("\n").slice(-15).join("\n");
    throw new ConformanceError("unreachable", `Cannot run the Gateway API's suite:\n${end}`);
  }
  return {
    result: {
      suite: SUITE,
      startedAt: startedAt.toISOString(),
      tookMs: performance.now() - startMs,
      nodes: options.nodes,
      cases,
    },
    report: await readFile(reportFile, "utf8").catch(() => undefined),
  };
}

function flagsOf(
  { features, version, onlyTest }: GatewayApiSuite,
  reportFile: string,
): readonly string[] {
  const flags = {
    "supported-features": features.join(","),
    "conformance-profiles": PROFILES.join(","),
    ...(onlyTest === undefined ? { "report-output": reportFile } : { "run-test": onlyTest }),
    // Without Gateways there is no class to look for.
    "gateway-class": "",
    organization: "innermesh",
    project: "innermesh",
    url: URL,
    contact: URL,
    version,
  };
  const words = Object.entries(flags).map(([name, value]) => `-${name}=${value}`);
  return ["-test.v", "-test.timeout=60m", "-test.run=^TestConformance$", ...words];
}

/** Runs it to its end, whatever its exit code. @returns all that it printed */
async function runProgram(
  program: string,
  flags: readonly string[],
  { directory, kubeconfigFile, signal }: GatewayApiSuite,
): Promise<string> {
  const logFile = join(directory, "gateway-api.log");
  const log = createWriteStream(logFile);
  const child = spawn(program, flags, {
    env: { ...process.env, KUBECONFIG: kubeconfigFile },
    stdio: ["ignore", "pipe", "pipe"],
    ...(signal === undefined ? {} : { signal }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.on("error", reject).on("close", () => resolve());
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  try {
    await promise;
  } finally {
    log.end();
    await finished(log);
  }
  return readFile(logFile, "utf8");
}

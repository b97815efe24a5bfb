// `make conformance`: builds what upstream's suites need, starts a cluster of real nodes, runs the
// suites against Innermesh on it, and writes docs/conformance.md. Needs root and Go.
//   --test NAME   one test alone; writes no document
//   --keep        leaves the cluster running until Ctrl-C

import { writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitCodeOf } from "../conformance/case-result.ts";
import { formatReport, formatRow } from "../conformance/report.ts";
import {
  type GatewayApiRun,
  runGatewayApiSuite,
} from "../conformance/upstream/gateway-api-suite.ts";
import { VERSION } from "../roles/version.ts";
import { MESH_FEATURES } from "../service-proxy/model/mesh-features.ts";
import { ensureBinaries, pinnedVersion } from "../test/cluster/binaries.ts";
import { type RealCluster, startRealCluster } from "./conformance-cluster.ts";
import { formatConformance } from "./conformance-document.ts";
import { writeImages } from "./conformance-images.ts";
import { goDirectory } from "./go.ts";
import { ROOT } from "./steps.ts";

const DIRECTORY = join(ROOT, "build/conformance");

async function main(signal: AbortSignal): Promise<boolean> {
  const { values } = parseArgs({
    options: { test: { type: "string" }, keep: { type: "boolean", default: false } },
  });
  const newer = await goDirectory();
  if (newer !== undefined) process.env["PATH"] = `${newer}:${process.env["PATH"]}`;
  const suite = await ensureBinaries(["gateway-api-conformance"]);
  const images = await writeImages(join(DIRECTORY, "images"));
  await using cluster = await startRealCluster(images, DIRECTORY, print);
  print("running the Gateway API's suite");
  const run = await runGatewayApiSuite({
    program: suite["gateway-api-conformance"],
    kubeconfigFile: await cluster.controlPlane.kubeconfig("admin"),
    directory: DIRECTORY,
    features: MESH_FEATURES.map(({ name }) => name),
    version: VERSION,
    nodes: cluster.playground.nodes.map(({ name }) => name),
    signal,
    ...(values.test === undefined ? {} : { onlyTest: values.test }),
  });
  await report(run);
  const problems = await cluster.innermesh.problems();
  for (const problem of problems) print(problem);
  if (values.test === undefined) await writeDocument(run);
  if (values.keep) await hold(cluster, signal);
  return problems.length === 0 && exitCodeOf(run.result.cases) === 0;
}

async function report({ result }: GatewayApiRun): Promise<void> {
  await writeFile(join(DIRECTORY, "gateway-api-junit.xml"), formatReport("junit", result));
  for (const row of result.cases.filter(({ outcome }) => outcome.kind !== "skipped")) {
    print(formatRow(row));
  }
  print(formatReport("table", result).trimEnd());
  print(`raw output and reports: ${DIRECTORY}`);
}

async function writeDocument(run: GatewayApiRun): Promise<void> {
  const text = formatConformance(run, {
    kernel: release(),
    kubernetes: await pinnedVersion("kubelet"),
    gatewayApi: await pinnedVersion("gateway-api-conformance"),
  });
  await writeFile(join(ROOT, "docs/conformance.md"), text);
}

async function hold({ controlPlane }: RealCluster, signal: AbortSignal): Promise<void> {
  print(`the cluster stays until Ctrl-C: KUBECONFIG=${await controlPlane.kubeconfig("admin")}`);
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve());
  // An event alone does not keep the process alive.
  const alive = setInterval(() => {}, 60_000);
  await promise;
  clearInterval(alive);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
try {
  process.exitCode = (await main(stop.signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

// Load from the client pod, as wrk, h2load and our WebSocket client make it, and what they report.

import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GRPC_HEADERS, GRPC_PATH } from "./proxy-backends.ts";
import type { ProxyStage } from "./proxy-stage.ts";
import type { Target } from "./rig.ts";
import { percentile } from "./statistics.ts";

/** Whose client it is. */
export type LoadPlace = Pick<ProxyStage, "directory" | "grpcMessagePath" | "runClient">;

/** Closed loops: each connection or stream has one request under way. */
export type LoadPlan =
  | {
      readonly kind: "wrk";
      readonly connections: number;
      /** @default "/" */
      readonly path?: string;
      /** A new connection for each request. @default false */
      readonly reconnect?: boolean;
    }
  | {
      readonly kind: "h2load";
      readonly connections: number;
      readonly streams: number;
      readonly grpc?: boolean;
    }
  | { readonly kind: "websocket"; readonly connections: number };

/** What one run of a client saw. */
export interface Load {
  readonly completed: number;
  readonly failed: number;
  /** Received. */
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

const WRK_REPORT = fileURLToPath(new URL("./proxy-wrk.lua", import.meta.url));
const WEBSOCKET_LOAD = fileURLToPath(new URL("./proxy-websocket-load-program.ts", import.meta.url));
/** More would say that something else was measured than was asked for. */
const FAILED_SHARE_LIMIT = 0.001;

/** @throws when more than one request in a thousand failed */
export async function runLoad(
  stage: LoadPlace,
  plan: LoadPlan,
  { target, seconds }: { readonly target: Target; readonly seconds: number },
): Promise<Load> {
  const load =
    plan.kind === "h2load"
      ? await runH2load(stage, plan, target, seconds)
      : parseReport(await stage.runClient(reportingArgv(plan, target, seconds)));
  const { completed, failed } = load;
  const text = `${failed} of ${completed + failed} failed: ${JSON.stringify({ plan, target })}`;
  assert(completed > 0 && failed <= FAILED_SHARE_LIMIT * completed, text);
  return load;
}

function reportingArgv(
  plan: Exclude<LoadPlan, { kind: "h2load" }>,
  { address, port }: Target,
  seconds: number,
): string[] {
  const connections = String(plan.connections);
  if (plan.kind === "websocket") {
    const words = [address, String(port), connections, String(seconds)];
    return [process.execPath, "--disable-warning=ExperimentalWarning", WEBSOCKET_LOAD, ...words];
  }
  const { path = "/", reconnect = false } = plan;
  const argv = ["wrk", "--threads=1", `--connections=${connections}`, `--duration=${seconds}s`];
  argv.push("--latency", `--script=${WRK_REPORT}`);
  if (reconnect) argv.push("--header=Connection: close");
  return [...argv, `http://${address}:${port}${path}`];
}

/** Its last line is a Load. */
function parseReport(stdout: string): Load {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Load;
}

/** It knows no percentiles, but writes down every request: start, status, duration in µs. */
async function runH2load(
  stage: LoadPlace,
  { connections, streams, grpc = false }: Extract<LoadPlan, { kind: "h2load" }>,
  { address, port }: Target,
  seconds: number,
): Promise<Load> {
  const log = join(stage.directory, "h2load.log");
  await rm(log, { force: true });
  const argv = ["h2load", "--threads=1", `--clients=${connections}`];
  argv.push(`--max-concurrent-streams=${streams}`, `--duration=${seconds}`, `--log-file=${log}`);
  if (grpc) argv.push(`--data=${stage.grpcMessagePath}`);
  if (grpc) argv.push(...GRPC_HEADERS.map((header) => `--header=${header}`));
  const stdout = await stage.runClient([
    ...argv,
    `http://${address}:${port}${grpc ? GRPC_PATH : "/"}`,
  ]);
  const lines = (await readFile(log, "utf8")).trimEnd().split("\n");
  const latenciesUs = lines
    .map((line) => line.split("\t"))
    .filter(([, status]) => status === "200")
    .map(([, , duration]) => Number(duration));
  return {
    completed: latenciesUs.length,
    failed: lines.length - latenciesUs.length,
    bytes: Number(/^traffic: .*?\((\d+)\) total/m.exec(stdout)?.[1]),
    seconds,
    p50Us: percentile(latenciesUs, 0.5),
    p99Us: percentile(latenciesUs, 0.99),
    p999Us: percentile(latenciesUs, 0.999),
  };
}

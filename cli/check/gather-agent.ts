// Asks the agent's own pages, and compares the kernel's tables with the plan.

import { existsSync } from "node:fs";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { proxySeries } from "../../lib/metrics/proxy-series.ts";
import { readHostAddresses } from "../../lib/netlink/route.ts";
import type { Family, NftKernel, TableContents } from "../../lib/nft/objects.ts";
import { formatHostPort, type HostPort } from "../../service-proxy/config/host-port.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { NodePlan } from "../../service-proxy/plan/node-plan.ts";
import { TABLE } from "../../service-proxy/plan/ruleset.ts";
import { plannedTable, type Snapshot, takeSnapshot } from "../snapshot.ts";
import {
  type AgentFacts,
  type Fact,
  known,
  type PageFacts,
  type TableFacts,
  unknown,
} from "./facts.ts";
import type { GatheredCluster } from "./gather-cluster.ts";
import type { KernelDoor } from "./gather-kernel.ts";
import { factOf } from "./kernel-files.ts";
import { tableDifferences } from "./table-differences.ts";

const PAGE_TIMEOUT_MS = 3_000;
/** How long the agent is given to follow a change that came between two looks. */
const SETTLE_MS = 1_500;
/** A series that only our agent has. */
const OWN_SERIES = "innermesh_build_info";
const WORKERS = new RegExp(`^${proxySeries.workers.name} (\\d+)$`, "m");
const NOT_LISTENING = unknown("the flags turn this server off");

/** The families that this machine has. */
export function hostFamilies(): readonly Family[] {
  return existsSync("/proc/net/if_inet6") ? ["ip", "ip6"] : ["ip"];
}

/** @param flags what the agent was given */
export async function gatherAgent(
  flags: readonly string[],
  settings: NodeSettings,
  door: KernelDoor,
  cluster: GatheredCluster,
): Promise<AgentFacts> {
  const { healthzAddress, metricsAddress } = settings;
  const page = (address: HostPort | undefined, path: string): Promise<Fact<PageFacts>> =>
    address === undefined ? Promise.resolve(NOT_LISTENING) : factOf(() => getPage(address, path));
  const metrics = await page(metricsAddress, "/metrics");
  return {
    healthz: await page(healthzAddress, "/healthz"),
    livez: await page(healthzAddress, "/livez"),
    proxyMode: await page(metricsAddress, "/proxyMode"),
    metricsAreOurs:
      metrics.kind === "unknown" ? metrics : known(metrics.value.body.includes(OWN_SERIES)),
    proxyWorkers: workersOf(metrics),
    tables: await compareTables(flags, door, cluster),
  };
}

function workersOf(metrics: Fact<PageFacts>): Fact<number> {
  if (metrics.kind === "unknown") return metrics;
  const count = WORKERS.exec(metrics.value.body)?.[1];
  return count === undefined ? unknown("its metrics tell of no workers") : known(Number(count));
}

/** Asks on this machine: an agent that listens everywhere listens on loopback, too. */
export async function getPage({ host, port }: HostPort, path: string): Promise<PageFacts> {
  const loopback = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const url = `http://${formatHostPort({ host: loopback, port })}${path}`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PAGE_TIMEOUT_MS) });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new Error(`GET ${url}: ${code}`, { cause: error });
  }
}

/** Looks twice where something differs: the source may have changed between two answers. */
async function compareTables(
  flags: readonly string[],
  door: KernelDoor,
  { snapshot, apiServerAddresses }: GatheredCluster,
): Promise<Fact<readonly TableFacts[]>> {
  if (door.kind === "unknown") return door;
  if (snapshot.kind === "unknown") return snapshot;
  const compare = (now: Snapshot): Promise<readonly TableFacts[]> =>
    compareOnce(now, door.value, apiServerAddresses);
  return factOf(async () => {
    const first = await compare(snapshot.value);
    if (first.every(({ state }) => state.length === 0 || state === "missing")) return first;
    await systemClock.sleep(SETTLE_MS);
    return compare(await takeSnapshot(flags));
  });
}

async function compareOnce(
  snapshot: Snapshot,
  kernel: NftKernel,
  apiServerAddresses: readonly string[],
): Promise<readonly TableFacts[]> {
  const families = hostFamilies();
  const found = new Map<Family, TableContents>();
  for (const family of families) {
    const contents = await kernel.read(family, TABLE);
    if (contents !== undefined) found.set(family, contents);
  }
  const table = plannedTable(snapshot, apiServerAddresses);
  const plan = new NodePlan(table, snapshot.store, await readHostAddresses(), found, { families });
  return plan.families.map((one) => {
    const { family } = one.options;
    const contents = found.get(family);
    return { family, state: contents === undefined ? "missing" : tableDifferences(one, contents) };
  });
}

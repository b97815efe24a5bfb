// Asks the node who enforces policies: our agent and its tables, and others.

import { existsSync, readdirSync } from "node:fs";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { asList, asRecord, asText } from "../../lib/kube/api/fields.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import { isBridgeWatched } from "../../lib/netlink/bridge-netfilter.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { logRefusal } from "../../netpol-identity/apply/log-probe.ts";
import { heldPolicies } from "../../netpol-identity/evaluate/held-policies.ts";
import { parseEnforcement } from "../../netpol-identity/model/enforcement-report.ts";
import { readIptables } from "../../service-proxy/apply/iptables.ts";
import { runProgram } from "../../service-proxy/apply/run-program.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import { clientConfig } from "../kube-access.ts";
import { type Fact, known, type PolicyFacts, unknown } from "./facts.ts";
import { getPage } from "./gather-agent.ts";
import type { GatheredCluster } from "./gather-cluster.ts";
import { missingTables } from "./gather-identity.ts";
import type { KernelDoor } from "./gather-kernel.ts";
import { askJson, factOf } from "./kernel-files.ts";
import { blocksPort, findEngines, portBlocks } from "./policy-engines.ts";

const CNI_FOLDER = "/etc/cni/net.d";
const OURS = /^innermesh/;
const TIMEOUT_MS = 10_000;

export async function gatherPolicy(
  settings: NodeSettings,
  door: KernelDoor,
  {
    families,
    cluster,
  }: { readonly families: readonly Family[]; readonly cluster: GatheredCluster },
): Promise<PolicyFacts> {
  const common = {
    engines: await factOf(engines),
    tunnelBlocks: await factOf(() => tunnelBlocks(settings.identity.tunnelPort)),
    watchedBridges: await factOf(async () => ({
      ip: await isBridgeWatched("ip"),
      ip6: await isBridgeWatched("ip6"),
    })),
  };
  if (settings.networkPolicy === "none") {
    const off = unknown("policies are off");
    const count = await countPolicies(settings);
    return { ...common, count, missingTables: off, lacking: off, logRefusal: off };
  }
  const { snapshot } = cluster;
  return {
    ...common,
    count: snapshot.kind === "unknown" ? snapshot : known(policyCount(snapshot.value.store)),
    missingTables:
      door.kind === "unknown"
        ? door
        : await factOf(async () => {
            const missing = await missingTables(door.value, families);
            return missing.filter((place) => families.some((family) => family === place));
          }),
    lacking: await factOf(() => lacking(settings, cluster)),
    logRefusal: door.kind === "unknown" ? door : await factOf(() => logRefusal(door.value)),
  };
}

type Stored = Extract<GatheredCluster["snapshot"], { kind: "known" }>["value"]["store"];

function policyCount(store: Stored): number {
  const { networkPolicies, clusterNetworkPolicies, serviceAccountPolicies, meshPolicies } = store;
  const kinds = [networkPolicies, clusterNetworkPolicies, serviceAccountPolicies, meshPolicies];
  return kinds.reduce((sum, { size }) => sum + size, 0);
}

/** Of NetworkPolicies alone, which every cluster has. */
async function countPolicies({ source }: NodeSettings): Promise<Fact<number>> {
  if (source.kind === "directory")
    return unknown("objects come from a directory: policies are off");
  return factOf(async () => {
    const client = makeKubeClient(await clientConfig(source), systemClock);
    try {
      const path = "/apis/networking.k8s.io/v1/networkpolicies?limit=1";
      const list = asRecord(
        await client.getJson(path, { signal: AbortSignal.timeout(TIMEOUT_MS) }),
      );
      const more = Number(asRecord(list["metadata"])["remainingItemCount"] ?? 0);
      return asList(list["items"]).length + more;
    } finally {
      client.close();
    }
  });
}

/** Policies of the cluster that the agent does not hold, or in an older form. */
async function lacking(
  { healthzAddress }: NodeSettings,
  { snapshot }: GatheredCluster,
): Promise<readonly string[]> {
  if (snapshot.kind === "unknown") throw new Error(snapshot.why);
  if (healthzAddress === undefined) throw new Error("--healthz-bind-address is empty");
  const { status, body } = await getPage(healthzAddress, "/policyz");
  if (status !== 200) throw new Error(`the agent answers ${status} to /policyz`);
  const { policies } = parseEnforcement(body);
  const { store } = snapshot.value;
  const wanted = heldPolicies(store);
  const isStale = ({ uid }: { readonly uid: string }): boolean =>
    (policies.get(uid) ?? -1) < (wanted.get(uid) ?? 0);
  return [
    ...store.serviceAccountPolicies.values(),
    ...store.meshPolicies.values(),
    ...store.clusterNetworkPolicies.values(),
  ]
    .filter(isStale)
    .map(({ kind, name }) => `${kind} ${name}`);
}

async function engines(): Promise<readonly string[]> {
  const chains = asList(asRecord(await askJson("nft", ["--json", "list", "chains"]))["nftables"])
    .map((item) => asRecord(asRecord(item)["chain"]))
    .filter(({ table }) => !OURS.test(asText(table)));
  const { states } = await readIptables(runProgram);
  const saved = states.flatMap(({ tables }) => tables.flatMap((table) => [...table.chains.keys()]));
  const links = asList(await askJson("ip", ["-json", "link", "show"])).map(asRecord);
  return findEngines({
    tables: chains.map(({ family, table }) => `${asText(family)} ${asText(table)}`),
    chains: [...chains.map(({ name }) => asText(name)), ...saved],
    links: links.map((link) => asText(link["ifname"])),
    cniFiles: existsSync(CNI_FOLDER) ? readdirSync(CNI_FOLDER) : [],
  });
}

async function tunnelBlocks(port: number): Promise<readonly string[]> {
  const listing = asRecord(await askJson("nft", ["--json", "list", "tables"]));
  const tables = asList(listing["nftables"])
    .map((item) => asRecord(asRecord(item)["table"]))
    .map(({ family, name }) => [asText(family), asText(name)] as const)
    .filter(([family, name]) => family !== "" && !OURS.test(name));
  const found: string[] = [];
  for (const [family, name] of tables) {
    found.push(
      ...portBlocks(await askJson("nft", ["--json", "list", "table", family, name]), port),
    );
  }
  const { states } = await readIptables(runProgram);
  for (const { variant, tables: saved } of states) {
    for (const table of saved) {
      const rules = table.rules.filter((rule) => blocksPort(rule.specification, port));
      found.push(...rules.map(({ chain }) => `iptables (${variant}) ${table.name} ${chain}`));
    }
  }
  return [...new Set(found)];
}

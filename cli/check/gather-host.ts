// Asks /proc, `ip` and `nft` how the node around us is set up.

import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { asList, asRecord, asText } from "../../lib/kube/api/fields.ts";
import { readHostAddresses } from "../../lib/netlink/route.ts";
import { planSysctls, readKernelValues } from "../../service-proxy/apply/sysctl.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import {
  type BridgeFacts,
  type DropPolicy,
  type EphemeralPorts,
  type Fact,
  type HostFacts,
  type InterfaceFacts,
  known,
  unknown,
} from "./facts.ts";
import { askJson, factOf, readNumber, readSwitch, readText } from "./kernel-files.ts";

const NET = "/proc/sys/net";
const CONNTRACK = `${NET}/netfilter`;

export async function gatherHost(settings: NodeSettings): Promise<HostFacts> {
  const entries = readNumber(`${CONNTRACK}/nf_conntrack_count`);
  const limit = readNumber(`${CONNTRACK}/nf_conntrack_max`);
  return {
    addresses: await factOf(readHostAddresses),
    ipForward: readSwitch(`${NET}/ipv4/ip_forward`),
    ip6Forward: readSwitch(`${NET}/ipv6/conf/all/forwarding`),
    interfaces: await factOf(interfaces),
    bridges: await factOf(bridges),
    bridgeCallsIptables: bridgeCallsIptables(),
    conntrack:
      entries.kind === "unknown"
        ? entries
        : limit.kind === "unknown"
          ? limit
          : known({ entries: entries.value, limit: limit.value }),
    tcpBeLiberal: readSwitch(`${CONNTRACK}/nf_conntrack_tcp_be_liberal`),
    limitsToSet: await factOf(() => limitsToSet(settings)),
    ephemeralPorts: ephemeralPorts(),
    dropPolicies: await factOf(dropPolicies),
  };
}

function interfaces(): readonly InterfaceFacts[] {
  const folder = `${NET}/ipv4/conf`;
  return readdirSync(folder).map((name) => {
    const number = (file: string): number => {
      const value = readNumber(`${folder}/${name}/${file}`);
      return value.kind === "known" ? value.value : 0;
    };
    return {
      name,
      rpFilter: number("rp_filter"),
      routeLocalnet: number("route_localnet") !== 0,
      srcValidMark: number("src_valid_mark") !== 0,
    };
  });
}

/** /sys/class/net would answer for the namespace that mounted it. */
async function bridges(): Promise<readonly BridgeFacts[]> {
  const links = asList(await askJson("ip", ["-json", "-details", "address", "show"])).map(asRecord);
  const kindOf = (link: (typeof links)[number]): string =>
    asText(asRecord(link["linkinfo"])["info_kind"]);
  return links
    .filter((link) => kindOf(link) === "bridge")
    .map((bridge) => ({
      name: asText(bridge["ifname"]),
      addresses: asList(bridge["addr_info"]).map((info) => asText(asRecord(info)["local"])),
      veths: links
        .filter((link) => link["master"] === bridge["ifname"] && kindOf(link) === "veth")
        .map((link) => asText(link["ifname"])),
    }));
}

function bridgeCallsIptables(): Fact<boolean | undefined> {
  const value = readNumber(`${NET}/bridge/bridge-nf-call-iptables`);
  return known(value.kind === "unknown" ? undefined : value.value !== 0);
}

async function limitsToSet(settings: NodeSettings): Promise<readonly string[]> {
  const current = await readKernelValues("/");
  return planSysctls(settings, availableParallelism(), current)
    .filter(({ required }) => required)
    .map(({ file, value }) => `${file}: ${current[file] ?? "unreadable"} → ${value}`);
}

function ephemeralPorts(): Fact<EphemeralPorts> {
  const range = readText(`${NET}/ipv4/ip_local_port_range`);
  if (range.kind === "unknown") return range;
  const [first, last] = range.value.split(/\s+/).map(Number);
  if (first === undefined || last === undefined)
    return unknown(`"${range.value}" is no port range`);
  const reserved = readText(`${NET}/ipv4/ip_local_reserved_ports`);
  const list = reserved.kind === "known" ? reserved.value.split(",").filter(Boolean) : [];
  return known({
    first,
    last,
    reserved: list.map((part) => {
      const [from = 0, to = from] = part.split("-").map(Number);
      return [from, to] as const;
    }),
  });
}

async function dropPolicies(): Promise<readonly DropPolicy[]> {
  const listing = asRecord(await askJson("nft", ["--json", "list", "chains"]));
  return asList(listing["nftables"]).flatMap((item): readonly DropPolicy[] => {
    const chain = asRecord(asRecord(item)["chain"]);
    const { hook, policy } = chain;
    if (policy !== "drop" || (hook !== "input" && hook !== "forward")) return [];
    const table = `${asText(chain["family"])} ${asText(chain["table"])}`;
    return [{ table, chain: asText(chain["name"]), hook }];
  });
}

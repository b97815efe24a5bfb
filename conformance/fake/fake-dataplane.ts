// A model of what every node should do with a packet to a Service: the rules of kube-proxy in
// plain code, and a list of ways to break them. Cases must pass on it, and each must fail on the
// defect that it is there to find.

import type {
  V1Endpoint,
  V1EndpointConditions,
  V1Service,
  V1ServicePort,
} from "@kubernetes/client-node";

import { cidrContains } from "../../lib/ip/cidr.ts";
import type { EchoReply } from "../../playground/echo-protocol.ts";
import type { ProbeRequest, ProbeResult } from "../../playground/probe-protocol.ts";
import { addressOf, type Agent } from "../agent-identity.ts";
import type { FakeObjects, FakeService } from "./fake-objects.ts";

/** Ways to be wrong, each a bug that proxies have had. */
export const defects = [
  "masquerades-pods",
  "ignores-udp",
  "mixes-up-ports",
  "serves-first-endpoint-only",
  "no-hairpin-snat",
  "ignores-host-clients",
  "ignores-host-endpoints",
  "drops-unused-ports",
  "drops-without-endpoints",
  "keeps-removed-endpoints",
  "serves-deleted-services",
  "ignores-proxy-name",
  "ignores-headless-label",
  "serves-external-name",
  "ignores-second-family",
  "uses-unready",
  "uses-terminating",
  "no-terminating-fallback",
  "no-local-terminating-fallback",
  "node-port-on-first-node-only",
  "no-node-port-for-strangers",
  "ignores-external-ips",
  "no-affinity",
  "affinity-per-entry",
  "affinity-forever",
  "affinity-cannot-be-switched",
  "affinity-outlives-endpoint",
  "ignores-internal-local",
  "internal-local-not-for-hosts",
  "internal-local-refuses",
  "keeps-client-under-cluster",
  "masquerades-under-local",
  "external-local-refuses",
  "no-short-cut-for-pods",
  "serves-ip-mode-proxy",
  "ignores-source-ranges",
  "source-ranges-on-cluster-ip",
  "health-check-counts-terminating",
  "ignores-zone-hints",
  "trusts-partial-hints",
  "ignores-node-hints",
  "stale-udp-flows",
  "no-healthz",
] as const;
export type Defect = (typeof defects)[number];

type Entry = "cluster-ip" | "node-port" | "external-ip" | "vip";

interface Match {
  readonly service: V1Service;
  readonly port: V1ServicePort | undefined;
  readonly entry: Entry;
}

interface Packet {
  readonly from: Agent;
  readonly probe: ProbeRequest;
  readonly client: string;
  /** The node whose rules it meets first. */
  readonly node: string;
}

interface Usable {
  readonly agent: Agent;
  readonly port: number;
  readonly endpoint: V1Endpoint;
}

const refusal: ProbeResult = { kind: "refused" };
const silence: ProbeResult = { kind: "timeout", phase: "connect" };

export interface FakeDataplaneOptions {
  readonly objects: FakeObjects;
  readonly agents: readonly Agent[];
  /** What is wrong with it. */
  readonly defect?: Defect;
  readonly nowMs: () => number;
  readonly random: () => number;
}

export class FakeDataplane {
  readonly #options: FakeDataplaneOptions;
  readonly #affinity = new Map<string, { readonly agent: string; readonly atMs: number }>();
  readonly #udpFlows = new Map<string, Usable>();
  readonly #everSeen = new Map<string, FakeService>();
  readonly #lastUsable = new Map<string, readonly Usable[]>();

  constructor(options: FakeDataplaneOptions) {
    this.#options = options;
  }

  /** What comes of one try. */
  try(from: Agent, probe: ProbeRequest): ProbeResult {
    const client = addressOf(from, probe.address.includes(":") ? "ip6" : "ip") ?? "";
    const owner = this.#options.agents.find(
      (agent) => agent.place === "host" && agent.addresses.includes(probe.address),
    );
    const local = from.place !== "outside" && owner === undefined ? from.node : owner?.node;
    const packet: Packet = { from, probe, client, node: local ?? from.node };
    const own = this.#ownServer(packet, owner);
    if (own !== undefined) return own;
    const match = this.#match(packet);
    if (match !== undefined) return this.#serve(packet, match);
    return this.#direct(packet);
  }

  #broken(defect: Defect): boolean {
    return this.#options.defect === defect;
  }

  /** The proxy's own HTTP ports. */
  #ownServer(packet: Packet, owner: Agent | undefined): ProbeResult | undefined {
    const { address, port, path } = packet.probe;
    if (port === 10_249 && address === "127.0.0.1") return http(200, "nftables");
    if (port === 10_256 && owner !== undefined) {
      if (this.#broken("no-healthz")) return refusal;
      return http(200, path === "/healthz" ? '{"lastUpdated":"now"}' : "{}");
    }
    const checked = this.#options.objects.services.find(
      ({ object }) => object.spec?.healthCheckNodePort === port,
    );
    if (checked === undefined || owner === undefined) return undefined;
    const [entry] = checked.object.spec?.ports ?? [];
    const here = this.#endpoints(checked.object, entry, packet).filter(
      ({ endpoint }) => endpoint.nodeName === owner.node,
    );
    const counted = here.filter(({ endpoint }) =>
      this.#broken("health-check-counts-terminating")
        ? endpoint.conditions?.serving !== false
        : isReady(endpoint.conditions),
    );
    const body = `{"localEndpoints":${counted.length}}`;
    return http(counted.length > 0 ? 200 : 503, body);
  }

  #match({ probe, node, from }: Packet): Match | undefined {
    for (const { object, ingress } of this.#known()) {
      const { spec } = object;
      if (!this.#isOurs(object)) continue;
      const port = spec?.ports?.find(
        (p) => p.port === probe.port && (p.protocol ?? "TCP") === transport(probe),
      );
      const [first, ...rest] = spec?.clusterIPs ?? [];
      const ips = this.#broken("ignores-second-family") ? [first] : [first, ...rest];
      if (ips.includes(probe.address)) return { service: object, port, entry: "cluster-ip" };
      if (spec?.externalIPs?.includes(probe.address) && port !== undefined) {
        if (this.#broken("ignores-external-ips")) continue;
        return { service: object, port, entry: "external-ip" };
      }
      const vip = ingress.find(({ ip }) => ip === probe.address);
      const proxied = vip?.ipMode === "Proxy" && !this.#broken("serves-ip-mode-proxy");
      if (vip !== undefined && !proxied && port !== undefined) {
        return { service: object, port, entry: "vip" };
      }
      const nodePort = spec?.ports?.find(
        (p) => p.nodePort === probe.port && (p.protocol ?? "TCP") === transport(probe),
      );
      if (nodePort === undefined || !this.#isNodeAddress(probe.address)) continue;
      const [firstNode] = this.#options.agents.filter((agent) => agent.place === "host");
      if (this.#broken("node-port-on-first-node-only") && node !== firstNode?.node) continue;
      const stranger = from.place !== "pod" && from.node !== node;
      if (this.#broken("no-node-port-for-strangers") && stranger) continue;
      return { service: object, port: nodePort, entry: "node-port" };
    }
    return undefined;
  }

  #known(): readonly FakeService[] {
    const { services } = this.#options.objects;
    for (const service of services) {
      const { spec, metadata } = service.object;
      if (spec?.type !== "ExternalName") this.#everSeen.set(metadata?.name ?? "", service);
    }
    if (this.#broken("serves-deleted-services")) return [...this.#everSeen.values()];
    if (!this.#broken("serves-external-name")) return services;
    const named = services.filter(({ object }) => object.spec?.type === "ExternalName");
    const before = named.flatMap(({ object }) => {
      const seen = this.#everSeen.get(object.metadata?.name ?? "");
      return seen === undefined ? [] : [seen];
    });
    return [...services, ...before];
  }

  #isOurs({ metadata, spec }: V1Service): boolean {
    if (spec?.type === "ExternalName" || spec?.clusterIP === "None") return false;
    const labelled = metadata?.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined;
    return !labelled || this.#broken("ignores-proxy-name");
  }

  #serve(packet: Packet, { service, port, entry }: Match): ProbeResult {
    const { probe, from, node } = packet;
    if (probe.protocol === "udp" && this.#broken("ignores-udp")) return silence;
    if (from.place === "host" && from.node === node && this.#broken("ignores-host-clients")) {
      return silence;
    }
    if (port === undefined) return this.#broken("drops-unused-ports") ? silence : refusal;
    if (this.#isFiltered(packet, service, entry)) return silence;
    const all = this.#endpoints(service, port, packet);
    const everywhere = this.#fallBack(all);
    const { local, short } = this.#policy(packet, service, entry);
    const here = all.filter(({ endpoint }) => endpoint.nodeName === node);
    const usable =
      local && !short ? this.#localFallBack(here, all) : this.#hinted(everywhere, node);
    if (everywhere.length === 0) {
      return this.#broken("drops-without-endpoints") ? silence : refusal;
    }
    if (usable.length === 0) return this.#whenNoneIsLocal(entry);
    const chosen = this.#choose(packet, service, port, entry, usable);
    return this.#arrive(packet, chosen, this.#masks(packet, entry, local && !short, chosen));
  }

  #isFiltered({ client }: Packet, { spec }: V1Service, entry: Entry): boolean {
    const ranges = spec?.loadBalancerSourceRanges ?? [];
    if (ranges.length === 0 || this.#broken("ignores-source-ranges")) return false;
    const guarded =
      entry === "vip" || (entry === "cluster-ip" && this.#broken("source-ranges-on-cluster-ip"));
    return guarded && !ranges.some((range) => cidrContains(range, client));
  }

  /** Whether only local endpoints may serve, and whether the sender is exempt from that. */
  #policy({ from, node }: Packet, { spec }: V1Service, entry: Entry) {
    if (entry === "cluster-ip") {
      const exempt = from.place === "host" && this.#broken("internal-local-not-for-hosts");
      const local = spec?.internalTrafficPolicy === "Local";
      return { local: local && !this.#broken("ignores-internal-local"), short: exempt };
    }
    const inside = from.place === "pod" || (from.place === "host" && from.node === node);
    const short = inside && !(from.place === "pod" && this.#broken("no-short-cut-for-pods"));
    return { local: spec?.externalTrafficPolicy === "Local", short };
  }

  #whenNoneIsLocal(entry: Entry): ProbeResult {
    const defect = entry === "cluster-ip" ? "internal-local-refuses" : "external-local-refuses";
    return this.#broken(defect) ? refusal : silence;
  }

  #endpoints(
    service: V1Service,
    port: V1ServicePort | undefined,
    { probe }: Packet,
  ): readonly Usable[] {
    const { objects, agents } = this.#options;
    const name = service.metadata?.name ?? "";
    const headless = service.metadata?.labels?.["service.kubernetes.io/headless"] !== undefined;
    if (headless && !this.#broken("ignores-headless-label")) return [];
    const family = probe.address.includes(":") ? "IPv6" : "IPv4";
    const found = objects.slicesOf(service).flatMap((slice) => {
      if (slice.addressType !== family) return [];
      const target = this.#broken("mixes-up-ports")
        ? slice.ports?.[0]
        : slice.ports?.find(
            (p) => p.name === port?.name && p.protocol === (port?.protocol ?? "TCP"),
          );
      return (slice.endpoints ?? []).flatMap((endpoint) => {
        const [address = ""] = endpoint.addresses;
        const agent = agents.find((a) => a.addresses.includes(address));
        if (agent === undefined || target?.port === undefined) return [];
        if (agent.place === "host" && this.#broken("ignores-host-endpoints")) return [];
        return [{ agent, port: target.port, endpoint }];
      });
    });
    if (!this.#broken("keeps-removed-endpoints")) return found;
    const key = `${name}/${port?.name}`;
    const before = this.#lastUsable.get(key) ?? [];
    const kept = [...found, ...before.filter((b) => !found.some((f) => f.agent === b.agent))];
    this.#lastUsable.set(key, kept);
    return kept;
  }

  #fallBack(all: readonly Usable[]): readonly Usable[] {
    if (this.#broken("uses-unready")) return all;
    const ready = all.filter(({ endpoint }) => isReady(endpoint.conditions));
    const leaving = all.filter(({ endpoint }) => isLeaving(endpoint.conditions));
    if (this.#broken("uses-terminating")) return [...ready, ...leaving];
    if (this.#broken("no-terminating-fallback")) return ready;
    return ready.length > 0 ? ready : leaving;
  }

  #localFallBack(here: readonly Usable[], all: readonly Usable[]): readonly Usable[] {
    if (!this.#broken("no-local-terminating-fallback")) return this.#fallBack(here);
    return here.filter(({ endpoint }) => this.#fallBack(all).some((u) => u.endpoint === endpoint));
  }

  #hinted(usable: readonly Usable[], node: string): readonly Usable[] {
    const zone = this.#zoneOf(node);
    const levels = [
      this.#broken("ignores-node-hints")
        ? undefined
        : ({ endpoint }: Usable) => endpoint.hints?.forNodes?.map(({ name }) => name === node),
      this.#broken("ignores-zone-hints")
        ? undefined
        : ({ endpoint }: Usable) => endpoint.hints?.forZones?.map(({ name }) => name === zone),
    ];
    for (const hits of levels) {
      if (hits === undefined) continue;
      const complete = usable.every((one) => hits(one) !== undefined);
      const chosen = usable.filter((one) => hits(one)?.includes(true) === true);
      if ((complete || this.#broken("trusts-partial-hints")) && chosen.length > 0) return chosen;
    }
    return usable;
  }

  #zoneOf(node: string): string {
    return `zone-${node}`;
  }

  #choose(
    { client, probe }: Packet,
    { metadata, spec }: V1Service,
    port: V1ServicePort,
    entry: Entry,
    usable: readonly Usable[],
  ): Usable {
    const pick = (): Usable => {
      const index = Math.floor(this.#options.random() * usable.length);
      const chosen = usable[this.#broken("serves-first-endpoint-only") ? 0 : index];
      if (chosen === undefined) throw new Error("nothing to choose from");
      return chosen;
    };
    const flow = `${client}:${probe.sourcePort}>${probe.address}:${probe.port}`;
    if (this.#broken("stale-udp-flows") && probe.sourcePort !== undefined) {
      const chosen = this.#udpFlows.get(flow) ?? pick();
      this.#udpFlows.set(flow, chosen);
      return chosen;
    }
    const key = [metadata?.name, port.name, client];
    if (this.#broken("affinity-per-entry")) key.push(entry);
    const remembered = this.#affinity.get(key.join("|"));
    const off = spec?.sessionAffinity !== "ClientIP";
    const stuck = this.#broken("affinity-cannot-be-switched") && remembered !== undefined;
    if ((off && !stuck) || this.#broken("no-affinity")) return pick();
    const nowMs = this.#options.nowMs();
    const limitMs = 1_000 * (spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800);
    const fresh = remembered !== undefined && nowMs - remembered.atMs <= limitMs;
    const held = usable.find(({ agent }) => agent.name === remembered?.agent);
    const keep = fresh || this.#broken("affinity-forever");
    const chosen = keep && held !== undefined ? held : pick();
    this.#affinity.set(key.join("|"), { agent: chosen.agent.name, atMs: nowMs });
    const dead = this.#options.agents.find((agent) => agent.name === remembered?.agent);
    if (this.#broken("affinity-outlives-endpoint") && dead !== undefined) {
      return { ...chosen, agent: dead };
    }
    return chosen;
  }

  #masks({ from, node }: Packet, entry: Entry, local: boolean, { agent }: Usable): boolean {
    if (from === agent) return !this.#broken("no-hairpin-snat");
    if (entry === "cluster-ip") return from.place !== "pod" || this.#broken("masquerades-pods");
    if (local) return this.#broken("masquerades-under-local");
    return from.place === "pod" && from.node === node
      ? false
      : !this.#broken("keeps-client-under-cluster");
  }

  #arrive({ client, node, probe }: Packet, { agent, port }: Usable, masked: boolean): ProbeResult {
    const host = this.#options.agents.find((one) => one.place === "host" && one.node === node);
    const family = probe.address.includes(":") ? "ip6" : "ip";
    const seen = masked ? ((host && addressOf(host, family)) ?? client) : client;
    return reply(agent, seen, port);
  }

  /** No Service: a pod's or node's own port, or nobody at all. */
  #direct({ probe, client }: Packet): ProbeResult {
    const { agents } = this.#options;
    const agent = agents.find(({ addresses }) => addresses.includes(probe.address));
    if (agent === undefined) return silence;
    const ports: readonly number[] = agent.ports[probe.protocol];
    return ports.includes(probe.port) ? reply(agent, client, probe.port) : refusal;
  }

  #isNodeAddress(address: string): boolean {
    return this.#options.agents.some(
      (agent) => agent.place === "host" && agent.addresses.includes(address),
    );
  }
}

function transport({ protocol }: ProbeRequest): "TCP" | "UDP" {
  return protocol === "udp" ? "UDP" : "TCP";
}

function isReady(conditions: V1EndpointConditions | undefined): boolean {
  return conditions?.ready !== false;
}

function isLeaving(conditions: V1EndpointConditions | undefined): boolean {
  return conditions?.serving === true && conditions.terminating === true;
}

function reply(agent: Agent, client: string, port: number): ProbeResult {
  const echo: EchoReply = {
    pod: agent.name,
    node: agent.node,
    client,
    clientPort: 40_000,
    local: `x:${port}`,
  };
  return { kind: "reply", text: JSON.stringify(echo), echo, localPort: 40_000, rttUs: 100 };
}

function http(status: number, text: string): ProbeResult {
  return { kind: "reply", text, status, localPort: 40_000, rttUs: 100 };
}

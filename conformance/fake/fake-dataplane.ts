// A model of what every node should do with a packet to a Service: the rules of kube-proxy in
// plain code, and ways to break them. Cases must pass on it, and each must fail on the defect that
// it is there to find.

import { cidrContains } from "../../lib/ip/cidr.ts";
import { type Agent, addressOf } from "../agent-identity.ts";
import type { Service, ServicePort } from "../cluster/api-objects.ts";
import type { EchoReply, ProbeRequest, ProbeResult } from "../probe-protocol.ts";
import type { Broken, Defect } from "./defect.ts";
import { FakeChoice } from "./fake-choice.ts";
import { FakeEndpoints, isReady, type Usable } from "./fake-endpoints.ts";
import type { FakeObjects, FakeService } from "./fake-objects.ts";

type Entry = "cluster-ip" | "node-port" | "external-ip" | "vip";

interface Match {
  readonly service: Service;
  readonly port: ServicePort | undefined;
  readonly entry: Entry;
}

interface Packet {
  readonly from: Agent;
  readonly probe: ProbeRequest;
  readonly client: string;
  /** The node whose rules it meets first. */
  readonly node: string;
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
  readonly #endpoints: FakeEndpoints;
  readonly #choice: FakeChoice;
  readonly #everSeen = new Map<string, FakeService>();

  constructor(options: FakeDataplaneOptions) {
    this.#options = options;
    const broken: Broken = (defect) => this.#broken(defect);
    this.#endpoints = new FakeEndpoints(options.objects, options.agents, broken);
    this.#choice = new FakeChoice(options, broken);
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
    const stale = this.#choice.remembered(client, probe);
    if (stale !== undefined) return this.#arrive(packet, stale, false);
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
    const here = this.#endpoints
      .of(checked.object, entry, packet.probe)
      .filter(({ endpoint }) => endpoint.nodeName === owner.node);
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

  #isOurs({ metadata, spec }: Service): boolean {
    if (spec?.type === "ExternalName" || spec?.clusterIP === "None") return false;
    const labelled = metadata?.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined;
    return !labelled || this.#broken("ignores-proxy-name");
  }

  #serve(packet: Packet, { service, port, entry }: Match): ProbeResult {
    const { probe, from, node, client } = packet;
    if (probe.protocol === "udp" && this.#broken("ignores-udp")) return silence;
    if (from.place === "host" && from.node === node && this.#broken("ignores-host-clients")) {
      return silence;
    }
    if (port === undefined) return this.#broken("drops-unused-ports") ? silence : refusal;
    if (this.#isFiltered(packet, service, entry)) return silence;
    const all = this.#endpoints.of(service, port, probe);
    const everywhere = this.#endpoints.fallBack(all);
    const { local, short } = this.#policy(packet, service, entry);
    const here = all.filter(({ endpoint }) => endpoint.nodeName === node);
    const usable =
      local && !short
        ? this.#endpoints.localFallBack(here, all)
        : this.#endpoints.hinted(everywhere, node);
    if (everywhere.length === 0) {
      return this.#broken("drops-without-endpoints") ? silence : refusal;
    }
    if (usable.length === 0) return this.#whenNoneIsLocal(entry);
    const chosen = this.#choice.choose({ client, probe, service, port, entry }, usable);
    return this.#arrive(packet, chosen, this.#masks(packet, entry, local && !short, chosen));
  }

  #isFiltered({ client }: Packet, { spec }: Service, entry: Entry): boolean {
    const ranges = spec?.loadBalancerSourceRanges ?? [];
    if (ranges.length === 0 || this.#broken("ignores-source-ranges")) return false;
    const guarded =
      entry === "vip" || (entry === "cluster-ip" && this.#broken("source-ranges-on-cluster-ip"));
    return guarded && !ranges.some((range) => cidrContains(range, client));
  }

  /** Whether only local endpoints may serve, and whether the sender is exempt from that. */
  #policy({ from, node }: Packet, { spec }: Service, entry: Entry) {
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

function reply(agent: Agent, client: string, port: number): ProbeResult {
  const echo: EchoReply = { pod: agent.name, node: agent.node, client, port };
  return { kind: "reply", text: JSON.stringify(echo), echo };
}

function http(status: number, text: string): ProbeResult {
  return { kind: "reply", text, status };
}

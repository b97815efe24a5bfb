// What one policy says, with groups in place of peers: made once for all pods that it selects.
// Peers become groups, ports become numbers.

import type { LabelSelector } from "../../lib/kube/api/label-selector.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type {
  IdentityQuery,
  PodQuery,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
} from "../model/policy.ts";
import { type NamedPort, type PortHolders, portsNamed } from "./pod-groups.ts";
import { EVERY_POD } from "./pod-query.ts";
import type { AddressBlock, GroupId, PortRange, SetPeers, SetRule } from "./policy-set.ts";

/** Names the groups that queries mean. */
export interface PeerGroups {
  /** This cluster's own. */
  readonly trustDomain: string;
  pods(query: PodQuery): GroupId;
  nodes(labels: LabelSelector): GroupId;
  domain(name: string): GroupId;
  identities(query: IdentityQuery): GroupId;
  /** By number, those of the pods with a port of that name: the same list while it is equal. */
  named(query: PodQuery, port: NamedPort, block?: AddressBlock): readonly PortHolders[];
}

/** One about what comes in, whose ports may be names that each pod gives a number. */
interface IncomingRule {
  readonly rule: PolicyRule;
  readonly peers: SetPeers | "any";
}

export class PolicyRules {
  readonly policy: Policy;
  /** No other rules have it, of this policy at another time neither. */
  readonly serial: number;
  /** Whether what comes in goes by names of ports. */
  readonly asksPorts: boolean;
  readonly #asked: AskedGroups;
  readonly #incoming: readonly IncomingRule[];
  readonly #ingress: readonly SetRule[];
  readonly #egress: readonly SetRule[];

  constructor(policy: Policy, serial: number, groups: PeerGroups) {
    this.policy = policy;
    this.serial = serial;
    this.#asked = new AskedGroups(groups);
    const { ingress = [], egress = [] } = policy;
    this.#incoming = ingress.flatMap((rule) => {
      const peers = setPeers(rule.peers, this.#asked);
      return peers === undefined ? [] : [{ rule, peers }];
    });
    this.asksPorts = ingress.some(({ ports }) => ports !== "any" && ports.some(isNamed));
    this.#ingress = this.asksPorts ? [] : incomingAt(this.#incoming, []);
    this.#egress = egress.flatMap((rule) => outgoing(rule, this.#asked));
  }

  /** All groups that it needs. */
  get groups(): ReadonlySet<GroupId> {
    return this.#asked.ids;
  }

  /** Whether names of ports mean others than when it was made. */
  get isStale(): boolean {
    return this.#asked.areOthers();
  }

  /** @param ports of the pod that is called */
  ingress(ports: Pod["ports"]): readonly SetRule[] {
    return this.asksPorts ? incomingAt(this.#incoming, ports) : this.#ingress;
  }

  get egress(): readonly SetRule[] {
    return this.#egress;
  }
}

/** Remembers what was asked for. */
class AskedGroups implements PeerGroups {
  readonly ids = new Set<GroupId>();
  readonly trustDomain: string;
  readonly #groups: PeerGroups;
  readonly #names: { readonly ask: () => readonly PortHolders[]; readonly got: unknown }[] = [];

  constructor(groups: PeerGroups) {
    this.#groups = groups;
    this.trustDomain = groups.trustDomain;
  }

  pods(query: PodQuery): GroupId {
    return this.#note(this.#groups.pods(query));
  }

  nodes(labels: LabelSelector): GroupId {
    return this.#note(this.#groups.nodes(labels));
  }

  domain(name: string): GroupId {
    return this.#note(this.#groups.domain(name));
  }

  identities(query: IdentityQuery): GroupId {
    return this.#note(this.#groups.identities(query));
  }

  named(query: PodQuery, port: NamedPort, block?: AddressBlock): readonly PortHolders[] {
    this.pods(query);
    const ask = () => this.#groups.named(query, port, block);
    const got = ask();
    this.#names.push({ ask, got });
    return got;
  }

  /** Whether the same questions about names have other answers now. */
  areOthers(): boolean {
    return this.#names.some(({ ask, got }) => ask() !== got);
  }

  #note(id: GroupId): GroupId {
    this.ids.add(id);
    return id;
  }
}

/** None for a rule that matches nothing: where the pod has no port of any of its names. */
function incomingAt(rules: readonly IncomingRule[], own: Pod["ports"]): readonly SetRule[] {
  return rules.flatMap(({ rule, peers }) => {
    if (rule.ports === "any") return [setRule(rule, { peers, ports: "any" })];
    const ports = rule.ports.flatMap((port) =>
      port.kind === "range" ? [numbered(port)] : portsNamed({ ports: own }, port).map(rangeOf),
    );
    return ports.length === 0 ? [] : [setRule(rule, { peers, ports })];
  });
}

/** None for a rule that can match nobody. */
function outgoing(rule: PolicyRule, groups: PeerGroups): readonly SetRule[] {
  if (rule.ports === "any") {
    const peers = setPeers(rule.peers, groups);
    return peers === undefined ? [] : [setRule(rule, { peers, ports: "any" })];
  }
  const ports = rule.ports.flatMap((port) => (port.kind === "range" ? [numbered(port)] : []));
  const peers = ports.length === 0 ? undefined : setPeers(rule.peers, groups);
  const named = rule.ports.flatMap((port) =>
    isNamed(port) ? peersNaming(port, rule.peers, groups) : [],
  );
  return [...(peers === undefined ? [] : [{ peers, ports }]), ...named].map((where) =>
    setRule(rule, where),
  );
}

function setRule(
  { name, action, requests }: PolicyRule,
  { peers, ports }: Pick<SetRule, "peers" | "ports">,
): SetRule {
  return { name, action, peers, ports, ...(requests !== undefined && { requests }) };
}

function setPeers(peers: PolicyRule["peers"], groups: PeerGroups): SetPeers | "any" | undefined {
  if (peers === "any") return "any";
  if (peers.length === 0) return undefined;
  const found = new PeerParts();
  for (const peer of peers) found.add(peer, groups);
  return found.take();
}

class PeerParts {
  readonly #groups = new Set<GroupId>();
  readonly #blocks: AddressBlock[] = [];
  readonly #identities = new Set<GroupId>();

  add(peer: PolicyPeer, groups: PeerGroups): void {
    switch (peer.kind) {
      case "pods":
        this.#groups.add(groups.pods(peer.query));
        break;
      case "nodes":
        this.#groups.add(groups.nodes(peer.labels));
        break;
      case "domains":
        for (const name of peer.names) this.#groups.add(groups.domain(name));
        break;
      case "block":
        this.#blocks.push({ cidr: peer.cidr, except: peer.except });
        break;
      case "identities":
        this.#identities.add(groups.identities(peer.query));
        break;
      default:
        peer satisfies never;
    }
  }

  addGroup(group: GroupId): void {
    this.#groups.add(group);
  }

  take(): SetPeers {
    return {
      groups: [...this.#groups].sort(),
      blocks: this.#blocks,
      identities: [...this.#identities].sort(),
    };
  }
}

/**
 * Of what goes out: a name means the port of whoever is called, so each number that it stands for
 * is a rule about those who have it there. Nodes and domains have no names for ports; identities
 * are called at the numbers of the pods that may have them.
 */
function peersNaming(
  port: NamedPort,
  peers: PolicyRule["peers"],
  groups: PeerGroups,
): readonly Pick<SetRule, "peers" | "ports">[] {
  const byPort = new Map<string, { readonly range: PortRange; readonly parts: PeerParts }>();
  const partsAt = (holders: PortHolders): PeerParts => {
    const key = `${holders.protocol}/${holders.number}`;
    const range = rangeOf({ protocol: holders.protocol, port: holders.number });
    const known = byPort.get(key) ?? { range, parts: new PeerParts() };
    byPort.set(key, known);
    return known.parts;
  };
  for (const peer of peers === "any" ? [{ kind: "pods", query: EVERY_POD } as const] : peers) {
    for (const holders of holdersOf(port, peer, groups)) {
      if (peer.kind === "identities") partsAt(holders).add(peer, groups);
      else partsAt(holders).addGroup(holders.group);
    }
  }
  return byPort
    .values()
    .map(({ range, parts }) => ({ peers: parts.take(), ports: [range] }))
    .toArray();
}

function holdersOf(port: NamedPort, peer: PolicyPeer, groups: PeerGroups): readonly PortHolders[] {
  if (peer.kind === "pods") return groups.named(peer.query, port);
  if (peer.kind === "block") return groups.named(EVERY_POD, port, peer);
  if (peer.kind !== "identities") return [];
  const { trustDomain = groups.trustDomain, namespaces, name } = peer.query;
  if (trustDomain !== groups.trustDomain) return [];
  const serviceAccounts = name === undefined ? {} : { serviceAccounts: [name] };
  return groups.named({ namespaces, labels: EVERY_POD.labels, ...serviceAccounts }, port);
}

function isNamed(port: PolicyPort): port is NamedPort {
  return port.kind === "named";
}

function numbered({ protocol, first, last }: PortRange): PortRange {
  return { protocol, first, last };
}

function rangeOf(port: { readonly protocol: PortRange["protocol"]; readonly port: number }) {
  return { protocol: port.protocol, first: port.port, last: port.port };
}

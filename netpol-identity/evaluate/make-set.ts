// From the policies that select a pod to what holds for it in one direction: rules by tier, peers
// as groups, ports as numbers, under a name made of all of it.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type {
  Direction,
  IdentityQuery,
  MeshDefault,
  PodQuery,
  Policy,
  PolicyPeer,
  PolicyRule,
  Tier,
} from "../model/policy.ts";
import type { LabelSelector } from "../../lib/kube/api/label-selector.ts";
import { contentName } from "./content-name.ts";
import { type NamedPort, type PortHolders, portsNamed } from "./pod-groups.ts";
import { EVERY_POD } from "./pod-query.ts";
import type {
  AddressBlock,
  AllowList,
  GroupId,
  PolicySet,
  PortRange,
  SetPeers,
  SetRule,
} from "./policy-set.ts";
import { provenPorts } from "./proven-ports.ts";

/** Names the groups that queries mean. */
export interface PeerGroups {
  /** This cluster's own. */
  readonly trustDomain: string;
  pods(query: PodQuery): GroupId;
  nodes(labels: LabelSelector): GroupId;
  domain(name: string): GroupId;
  identities(query: IdentityQuery): GroupId;
  /** By number, those of the pods that have a port of that name. */
  named(query: PodQuery, port: NamedPort, block?: AddressBlock): readonly PortHolders[];
}

export interface SetSubject {
  readonly direction: Direction;
  /** All that select the pod. */
  readonly policies: readonly Policy[];
  /** The pod's own: what named ports of rules about what comes in mean. */
  readonly ports: Pod["ports"];
  readonly otherwise: MeshDefault;
}

/**
 * The set of a pod; undefined where nothing is said about that direction and the default is open.
 * The order in which policies are given does not matter.
 */
export function makeSet(subject: SetSubject, groups: PeerGroups): PolicySet | undefined {
  const { direction } = subject;
  // Who is called has an identity only in the mesh; asking it of the world would close the world.
  const isAsked = direction === "ingress" || subject.otherwise !== "identity-required";
  const otherwise = isAsked ? subject.otherwise : "open";
  const policies = subject.policies
    .filter((policy) => policy[direction] !== undefined)
    .sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
  if (policies.length === 0 && otherwise === "open") return undefined;
  const ofTier = (tier: Tier): AllowList => {
    const those = policies.filter((policy) => policy.tier === tier);
    const rules = those.flatMap((policy) => policy[direction] ?? []);
    return {
      policies: those.map(({ name }) => name),
      rules: rules.flatMap((rule) => setRules(rule, subject, groups)),
    };
  };
  const [network, account] = [ofTier("network"), ofTier("account")];
  const parts = {
    direction,
    admin: ofTier("admin").rules,
    denies: ofTier("account-deny").rules,
    audits: ofTier("account-audit").rules,
    ...(network.policies.length > 0 && { network }),
    ...(account.policies.length > 0 && { account }),
    baseline: ofTier("baseline").rules,
    otherwise,
  };
  const content = { ...parts, provenPorts: provenPorts(parts) };
  return { id: contentName(JSON.stringify(content)), ...content };
}

/** None for a rule that can match nobody. */
function setRules(rule: PolicyRule, subject: SetSubject, groups: PeerGroups): readonly SetRule[] {
  const { name, action, requests } = rule;
  const head = { name, action };
  const tail = requests === undefined ? {} : { requests };
  if (rule.ports === "any") {
    const peers = setPeers(rule.peers, groups);
    return peers === undefined ? [] : [{ ...head, peers, ports: "any", ...tail }];
  }
  const isIngress = subject.direction === "ingress";
  const ports = rule.ports.flatMap((port): readonly PortRange[] => {
    if (port.kind === "range") {
      return [{ protocol: port.protocol, first: port.first, last: port.last }];
    }
    return isIngress ? portsNamed({ ports: subject.ports }, port).map(rangeOf) : [];
  });
  const peers = ports.length === 0 ? undefined : setPeers(rule.peers, groups);
  const named = rule.ports.filter((port) => port.kind === "named" && !isIngress);
  return [
    ...(peers === undefined ? [] : [{ ...head, peers, ports, ...tail }]),
    ...named.flatMap((port) =>
      port.kind === "named"
        ? peersNaming(port, rule.peers, groups).map((one) => ({ ...head, ...one, ...tail }))
        : [],
    ),
  ];
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

function rangeOf(port: { readonly protocol: PortRange["protocol"]; readonly port: number }) {
  return { protocol: port.protocol, first: port.port, last: port.port };
}

// Groups of pods' addresses, one for each query that some set asks for, kept up change by change:
// a pod that changed is asked only by the queries that are about its namespace.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PodQuery, PolicyPort } from "../model/policy.ts";
import { blockContains, blocksOf } from "./address-block.ts";
import { addressBytes } from "../../lib/ip/address.ts";
import { contentName } from "./content-name.ts";
import { writeMembers } from "./derived-groups.ts";
import type { PodChange, PodLedger } from "./pod-ledger.ts";
import {
  type NamespaceLabels,
  podQueryKey,
  selectsInNamespace,
  selectsNamespace,
} from "./pod-query.ts";
import type { AddressBlock, GroupId, PortRange } from "./policy-set.ts";

export type NamedPort = Extract<PolicyPort, { kind: "named" }>;

/** Pods that call a number by a name. */
export interface PortHolders {
  readonly protocol: PortRange["protocol"];
  readonly number: number;
  readonly group: GroupId;
}

interface Group {
  readonly id: GroupId;
  readonly query: PodQuery;
  readonly members: Set<Pod>;
  readonly named: Map<string, NamedView>;
  isStale: boolean;
}

interface NamedView {
  readonly name: string;
  readonly port: NamedPort;
  /** Undefined: wherever they are. */
  readonly blocks: readonly AddressBlock[] | undefined;
  holders: readonly PortHolders[];
}

export class PodGroups {
  readonly #ledger: PodLedger;
  readonly #addresses: Map<GroupId, ReadonlySet<string>>;
  readonly #groups = new Map<GroupId, Group>();
  /** Groups by the namespace that they may have members in, as far as it was asked for. */
  readonly #byNamespace = new Map<string, Set<Group>>();
  #namespaces: NamespaceLabels = new Map();

  /** @param addresses where the members of its groups are written */
  constructor(ledger: PodLedger, addresses: Map<GroupId, ReadonlySet<string>>) {
    this.#ledger = ledger;
    this.#addresses = addresses;
  }

  /** The group of all pods that a query selects. */
  of(query: PodQuery): GroupId {
    return this.#group(query).id;
  }

  /**
   * The pods of a query that have a port of that name, by number.
   * @param block only those whose address is in it
   */
  named(query: PodQuery, port: NamedPort, block?: AddressBlock): readonly PortHolders[] {
    const group = this.#group(query);
    const name = JSON.stringify([podQueryKey(query), port.protocol ?? null, port.name, block]);
    const known = group.named.get(name);
    if (known !== undefined) return known.holders;
    const view: NamedView = { name, port, blocks: block && [block], holders: [] };
    group.named.set(name, view);
    this.#refreshView(group, view);
    return view.holders;
  }

  /** @param changed namespaces whose labels are others, or all that there are */
  relabel(namespaces: NamespaceLabels, changed: Iterable<string>): void {
    const before = this.#namespaces;
    this.#namespaces = namespaces;
    for (const namespace of changed) {
      this.#byNamespace.delete(namespace);
      const pods = this.#ledger.inNamespace(namespace);
      if (pods.size === 0) continue;
      for (const group of this.#groups.values()) {
        if (group.query.namespaces.kind === "named") continue;
        const isIn = isAbout(group, namespace, namespaces);
        if (isIn === isAbout(group, namespace, before)) continue;
        for (const pod of pods.values()) {
          if (!selectsInNamespace(group.query, pod)) continue;
          if (isIn) group.members.add(pod);
          else group.members.delete(pod);
          group.isStale = true;
        }
      }
    }
  }

  apply(changes: readonly PodChange[]): void {
    for (const { before, after } of changes) {
      const namespace = (after ?? before)?.namespace ?? "";
      for (const group of this.#groupsAbout(namespace)) {
        const was = before !== undefined && group.members.delete(before);
        const is = after !== undefined && selectsInNamespace(group.query, after);
        if (is) group.members.add(after);
        if (was !== is || (is && !isReachedAlike(before, after))) group.isStale = true;
      }
    }
  }

  /** Rewrites the groups whose members changed. */
  refresh(): { readonly isChanged: boolean; readonly arePortsOthers: boolean } {
    let isChanged = false;
    let arePortsOthers = false;
    for (const group of this.#groups.values()) {
      if (!group.isStale) continue;
      group.isStale = false;
      if (this.#refreshGroup(group)) isChanged = true;
      for (const view of group.named.values()) {
        const change = this.#refreshView(group, view);
        if (change !== "none") isChanged = true;
        if (change === "ports") arePortsOthers = true;
      }
    }
    return { isChanged, arePortsOthers };
  }

  /** @param id maybe of a group of another sort */
  forget(id: GroupId): void {
    const group = this.#groups.get(id);
    if (group === undefined) return;
    this.#groups.delete(id);
    this.#addresses.delete(id);
    for (const { holders } of group.named.values()) {
      for (const holder of holders) this.#addresses.delete(holder.group);
    }
    for (const groups of this.#byNamespace.values()) groups.delete(group);
  }

  #group(query: PodQuery): Group {
    const id = `p-${contentName(podQueryKey(query))}`;
    const known = this.#groups.get(id);
    if (known !== undefined) return known;
    const group: Group = { id, query, members: new Set(), named: new Map(), isStale: false };
    for (const namespace of this.#ledger.namespaces()) {
      if (!isAbout(group, namespace, this.#namespaces)) continue;
      for (const pod of this.#ledger.inNamespace(namespace).values()) {
        if (selectsInNamespace(query, pod)) group.members.add(pod);
      }
    }
    this.#refreshGroup(group);
    this.#groups.set(id, group);
    for (const [namespace, groups] of this.#byNamespace) {
      if (isAbout(group, namespace, this.#namespaces)) groups.add(group);
    }
    return group;
  }

  #groupsAbout(namespace: string): Iterable<Group> {
    const known = this.#byNamespace.get(namespace);
    if (known !== undefined) return known;
    const all = this.#groups.values();
    const groups = new Set(all.filter((group) => isAbout(group, namespace, this.#namespaces)));
    this.#byNamespace.set(namespace, groups);
    return groups;
  }

  #refreshGroup({ id, members }: Group): boolean {
    const addresses = new Set<string>();
    for (const pod of members) for (const address of pod.addresses) addresses.add(address);
    return writeMembers(this.#addresses, id, addresses);
  }

  #refreshView({ members }: Group, view: NamedView): "none" | "addresses" | "ports" {
    const byPort = new Map<string, { readonly holders: PortHolders; readonly in: Set<string> }>();
    for (const pod of members) {
      for (const { protocol, port: number } of portsNamed(pod, view.port)) {
        const key = `${protocol}/${number}`;
        const group = `p-${contentName(`${view.name} ${key}`)}`;
        const known = byPort.get(key) ?? {
          holders: { protocol, number, group },
          in: new Set<string>(),
        };
        byPort.set(key, known);
        for (const address of addressesWithin(pod, view.blocks)) known.in.add(address);
      }
    }
    const found = [...byPort.keys()].sort().flatMap((key) => byPort.get(key) ?? []);
    const holders = found.map((one) => one.holders);
    const groups = new Set(holders.map(({ group }) => group));
    for (const { group } of view.holders) if (!groups.has(group)) this.#addresses.delete(group);
    let isChanged = false;
    for (const one of found)
      if (writeMembers(this.#addresses, one.holders.group, one.in)) isChanged = true;
    const isSame =
      holders.length === view.holders.length &&
      holders.every(({ group }, i) => group === view.holders[i]?.group);
    if (!isSame) view.holders = holders;
    return isSame ? (isChanged ? "addresses" : "none") : "ports";
  }
}

/** Whether it may have members there. */
function isAbout({ query }: Group, namespace: string, namespaces: NamespaceLabels): boolean {
  return selectsNamespace(query.namespaces, namespace, namespaces.get(namespace)?.labels);
}

/** The container ports of a pod that a policy's named port means. */
export function portsNamed(pod: Pick<Pod, "ports">, { protocol, name }: NamedPort): Pod["ports"] {
  if (pod.ports.length === 0) return pod.ports;
  return pod.ports.filter(
    (port) => port.name === name && (protocol === undefined || port.protocol === protocol),
  );
}

/** By the same addresses, on ports of the same names. */
export function isReachedAlike(a: Pod | undefined, b: Pod | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const isSamePorts = a.ports === b.ports || JSON.stringify(a.ports) === JSON.stringify(b.ports);
  return isSamePorts && a.addresses.join() === b.addresses.join();
}

function addressesWithin(
  { addresses }: Pod,
  blocks: readonly AddressBlock[] | undefined,
): readonly string[] {
  if (blocks === undefined) return addresses;
  const parsed = blocksOf(blocks);
  return addresses.filter((address) => {
    const bytes = addressBytes(address);
    return parsed.some((block) => blockContains(block, bytes));
  });
}

// What `innermesh explain address` says: which Services own an address, and what a packet to it
// meets on this node. Pure.

import { parseAddress } from "../../lib/ip/address.ts";
import { cidrContains } from "../../lib/ip/cidr.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { formatTable } from "../output.ts";
import type { PlannedNode } from "./planned-node.ts";
import { formatPods, type PodReport, podsAt } from "./pod-report.ts";

export interface AddressQuestion {
  readonly address: string;
  readonly port?: number;
}

export interface AddressOwner {
  readonly service: string;
  /** e.g. `ClusterIP`, `NodePort`, `endpoint` */
  readonly as: string;
  /** e.g. `80/tcp` */
  readonly port: string;
  /** Undefined unless an older Service has it. */
  readonly servedFor?: string;
}

export interface AddressReport extends AddressQuestion {
  readonly node: string;
  readonly owners: readonly AddressOwner[];
  /** Whose address it is; empty where identities are off. */
  readonly pods: readonly PodReport[];
  /** What becomes of packets to it, in a sentence. */
  readonly answer: string;
}

/** Reads `A`, `A:PORT`, `[V6]` or `[V6]:PORT`; undefined when it is no address. */
export function parseQuestion(text: string): AddressQuestion | undefined {
  const bare = parseAddress(text);
  if (bare !== undefined) return { address: bare };
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? match?.[2]);
  if (address === undefined) return undefined;
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (port === undefined) return { address };
  return port >= 1 && port <= 65_535 ? { address, port } : undefined;
}

export function explainAddress(node: PlannedNode, question: AddressQuestion): AddressReport {
  const family = node.plan.families.find(
    ({ options }) => options.family === (question.address.includes(":") ? "ip6" : "ip"),
  );
  const planned = family === undefined ? [] : plannedOwners(node, family, question);
  const owners = [...planned, ...endpointOwners(node, question)];
  return {
    node: node.nodeName,
    ...question,
    owners,
    pods: podsAt(node, question.address),
    answer:
      family === undefined ? "not a family of this node" : answer(node, family, owners, question),
  };
}

export function formatAddressReport(report: AddressReport): string {
  const rows = report.owners.map(({ service, as, port, servedFor }) => [
    service,
    as,
    port,
    servedFor === undefined ? "" : `not served: Service ${servedFor} has it`,
  ]);
  const what = report.port === undefined ? report.address : `${report.address} port ${report.port}`;
  const table =
    rows.length === 0 ? "" : `\n${formatTable([["SERVICE", "AS", "PORT", ""], ...rows])}`;
  return `${what} on node ${report.node}: ${report.answer}\n${table}${formatPods(report.pods)}`;
}

/** Services whose planned elements name the address, or the NodePort at it. */
function plannedOwners(
  node: PlannedNode,
  family: FamilyPlan,
  { address, port }: AddressQuestion,
): AddressOwner[] {
  const lost = new Map(
    family.ledger
      .conflicts()
      .map(({ set, key, winner, loser }) => [`${loser} ${set} ${key}`, winner]),
  );
  const ofNode = answersNodePorts(node, family, address);
  return [...family.services].flatMap(([service, { plan }]) =>
    plan.elements.flatMap(({ set, key }): AddressOwner[] => {
      const fields = key.split(" . ");
      const [protocol = "", number = ""] = set === "vips" ? fields.slice(1) : fields;
      const named = set === "vips" ? fields[0] === address : set === "nodeports" && ofNode;
      const asked = port === undefined ? set === "vips" : number === String(port);
      if (!named || !asked) return [];
      const winner = lost.get(`${service} ${set} ${key}`);
      return [
        {
          service,
          as: set === "nodeports" ? "NodePort" : kindOf(node, service, address),
          port: `${number}/${protocol}`,
          ...(winner === undefined ? {} : { servedFor: winner }),
        },
      ];
    }),
  );
}

function endpointOwners(
  { store }: PlannedNode,
  { address, port }: AddressQuestion,
): AddressOwner[] {
  return [...store.services.keys()].flatMap((service) => {
    const slices = [...store.slicesOf(service).values()].filter(({ endpoints }) =>
      endpoints.some((endpoint) => endpoint.address === address),
    );
    const ports = slices
      .flatMap((slice) => slice.ports)
      .filter((candidate) => port === undefined || candidate.port === port)
      .map((found) => `${found.port}/${found.protocol.toLowerCase()}`);
    return [...new Set(ports)].map((found) => ({ service, as: "endpoint", port: found }));
  });
}

/** What the rules do, by the same maps that they look into. */
function answer(
  node: PlannedNode,
  family: FamilyPlan,
  owners: readonly AddressOwner[],
  { address, port }: AddressQuestion,
): string {
  const served = owners.find(({ as, servedFor }) => as !== "endpoint" && servedFor === undefined);
  const { wanted } = family.ledger;
  if (served !== undefined) return `${served.as} of Service ${served.service}`;
  if (wanted.get("cluster-ips")?.has(address) === true) {
    return `a ClusterIP whose Service has no port ${port ?? ""}: refused`;
  }
  const cidr = [...(wanted.get("service-cidrs")?.keys() ?? [])].find((candidate) =>
    cidrContains(candidate, address),
  );
  if (cidr !== undefined) return `lies in ServiceCIDR ${cidr}, but no Service has it: dropped`;
  if (owners.some(({ as }) => as === "endpoint")) return "an endpoint: reached as it is";
  const place = answersNodePorts(node, family, address) ? "an address of this node" : "";
  return [place, "no Service has it: packets pass untouched"].filter(Boolean).join("; ");
}

function answersNodePorts(
  { store, nodeName }: PlannedNode,
  { nodePortAddresses }: FamilyPlan,
  address: string,
): boolean {
  if (nodePortAddresses !== undefined) return nodePortAddresses.includes(address);
  return store.nodes.get(nodeName)?.addresses.some((own) => own.address === address) ?? false;
}

function kindOf({ store }: PlannedNode, key: string, address: string): string {
  const service = store.services.get(key);
  if (service?.clusterIPs.includes(address) === true) return "ClusterIP";
  return service?.externalIPs.includes(address) === true ? "externalIP" : "load balancer VIP";
}

// Where one Service port answers, read from what is planned for it, not from its spec: an address
// that was refused or lost to another Service shows as that.

import { familyOf } from "../../lib/ip/address.ts";
import type { Service, ServicePort } from "../../lib/kube/api/service.ts";
import type { Flow, FlowCost, FlowProtocol } from "./flow-cost.ts";
import type { PlannedService, SetIds } from "./planned-node.ts";

export type EntryKind = "ClusterIP" | "NodePort" | "externalIP" | "load balancer VIP";

export interface EntryPoint {
  readonly kind: EntryKind;
  /** Literal addresses; for a NodePort perhaps `every address of the node but loopback`. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** As in nft; undefined while the kernel has not got it. */
  readonly set?: string;
  /** Lookups of a new flow, from a pod of this node to a ClusterIP, else from outside. */
  readonly lookups: number;
  /** Undefined when this Service serves it; else the older Service that does. */
  readonly servedFor?: string;
}

export interface EntryContext {
  readonly ids: SetIds;
  readonly cost: FlowCost;
  /** This node's own address in the family. */
  readonly nodeAddress?: string;
}

const EVERYWHERE = "every address of the node but loopback";

/** @returns ClusterIP first, then as planned */
export function entryPoints(
  planned: PlannedService,
  port: ServicePort,
  { ids, cost, nodeAddress = "" }: EntryContext,
): readonly EntryPoint[] {
  const { service, plan, family } = planned;
  const protocol = flowProtocol(port);
  const winners = new Map(
    family.ledger
      .conflicts()
      .filter(({ loser }) => loser === planned.key)
      .map(({ set, key, winner }) => [`${set} ${key}`, winner]),
  );
  return plan.elements.flatMap(({ set, key, data = "" }): readonly EntryPoint[] => {
    const fields = key.split(" . ");
    const id = ids.shown(data);
    const winner = winners.get(`${set} ${key}`);
    const common = {
      ...(id === undefined ? {} : { set: id }),
      ...(winner === undefined ? {} : { servedFor: winner }),
    };
    const flow = { family: family.options.family, protocol };
    if (set === "vips" && fields[1] === protocol && fields[2] === String(port.port)) {
      const [address = ""] = fields;
      const kind = kindOf(service, address);
      const lookups = cost.lookups({
        ...flow,
        address,
        port: port.port,
        ...senderTo(kind, planned),
      });
      return [{ kind, addresses: [address], port: port.port, lookups, ...common }];
    }
    if (set !== "nodeports" || key !== `${protocol} . ${port.nodePort}`) return [];
    const addresses = family.nodePortAddresses;
    const address = addresses?.[0] ?? nodeAddress;
    const lookups = cost.lookups({
      ...flow,
      address,
      port: port.nodePort,
      from: { kind: "outside" },
    });
    return [
      {
        kind: "NodePort",
        addresses: [...(addresses ?? [EVERYWHERE])],
        port: port.nodePort,
        lookups,
        ...common,
      },
    ];
  });
}

export function flowProtocol({ protocol }: ServicePort): FlowProtocol {
  return protocol === "TCP" ? "tcp" : protocol === "UDP" ? "udp" : "sctp";
}

/** Somebody who is let in. */
function senderTo(kind: EntryKind, { service, family }: PlannedService): Pick<Flow, "from"> {
  if (kind === "ClusterIP") return { from: { kind: "pod" } };
  const ranges = kind === "load balancer VIP" ? service.loadBalancerSourceRanges : [];
  const range = ranges.find((cidr) => familyOf(cidr) === family.options.family);
  return { from: range === undefined ? { kind: "outside" } : { kind: "range", range } };
}

function kindOf(service: Service, address: string): EntryKind {
  if (service.clusterIPs.includes(address)) return "ClusterIP";
  return service.externalIPs.includes(address) ? "externalIP" : "load balancer VIP";
}

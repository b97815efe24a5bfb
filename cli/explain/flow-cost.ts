// What the first packet of a flow costs: the packet is traced through the planned rules, and the
// lookups on its way are counted.

import { familyOf } from "../../lib/ip/address.ts";
import { type Cidr, splitCidr } from "../../lib/ip/cidr.ts";
import { type FakeTable, makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { type TracePacket, tracePacket } from "../../lib/nft/trace.ts";
import { ALIVE_RENEWAL, transaction, wholeTransaction } from "../../service-proxy/plan/changes.ts";
import { TABLE } from "../../service-proxy/plan/ruleset.ts";
import type { PlannedNode } from "./planned-node.ts";

export type FlowProtocol = "tcp" | "udp" | "sctp";

export interface Flow {
  readonly family: Family;
  readonly address: string;
  readonly port: number;
  readonly protocol: FlowProtocol;
  /** A pod of this node, somebody outside of the cluster, or somebody in a prefix. */
  readonly from:
    | { readonly kind: "pod" | "outside" }
    | { readonly kind: "range"; readonly range: Cidr };
}

/** From the ranges set aside for documents: no Service or pod has them. */
const OUTSIDE: Readonly<Record<Family, string>> = { ip: "192.0.2.1", ip6: "2001:db8::1" };

/** Counts lookups of a node's flows. */
export class FlowCost {
  readonly #node: PlannedNode;
  readonly #tables = new Map<Family, FakeTable>();

  private constructor(node: PlannedNode) {
    this.#node = node;
  }

  /** Loads every table of the plan. */
  static async of(node: PlannedNode): Promise<FlowCost> {
    const cost = new FlowCost(node);
    const kernel = makeFakeKernel();
    // As while workers live: connections of a lane go to them.
    await kernel.commit(
      node.plan.families.flatMap((family) => [
        wholeTransaction(family),
        transaction(family.options.family, ALIVE_RENEWAL),
      ]),
    );
    for (const family of ["ip", "ip6"] as const) {
      const table = kernel.table(family, TABLE);
      if (table !== undefined) cost.#tables.set(family, table);
    }
    return cost;
  }

  /** Lookups in sets and maps until the first packet leaves; 0 without a table. */
  lookups(flow: Flow): number {
    const table = this.#tables.get(flow.family);
    if (table === undefined) return 0;
    const own = this.#node.store.nodes.get(this.#node.nodeName)?.addresses ?? [];
    const localAddresses = new Set(own.map(({ address }) => address));
    const world = { localAddresses, random: () => 0 };
    const { steps } = tracePacket(table, this.#packetOf(flow), world);
    // The trace writes affinity down; the next flow is to be new again.
    table.sets.get("affinity")?.elements.clear();
    const notes = steps.flatMap(({ note }) => note.split("; "));
    return notes.filter((note) => note.includes("→") || note.includes("@")).length;
  }

  #packetOf({ family, address, port, protocol, from }: Flow): TracePacket {
    return {
      interface: from.kind === "pod" ? "pod" : "outside",
      source: this.#sourceOf(from, family),
      destination: address,
      destinationPort: port,
      protocol,
    };
  }

  #sourceOf(from: Flow["from"], family: Family): string {
    if (from.kind === "range") return splitCidr(from.range).address;
    const { podCIDRs = [] } = this.#node.store.nodes.get(this.#node.nodeName) ?? {};
    const pods = podCIDRs.find((cidr) => familyOf(cidr) === family);
    return from.kind === "pod" && pods !== undefined ? splitCidr(pods).address : OUTSIDE[family];
  }
}

// Who called whom on this node lately: what a change of policies is rehearsed against. A bounded
// memory of pairs, by pods and what they were then, so that pods that are gone still count.

import { addressBytes, familyOf, formatAddress } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import {
  type ConntrackEntry,
  protocolTcp,
  protocolUdp,
} from "../../lib/netlink/conntrack-entry.ts";
import type { EdgePod, EdgeReport, RecordedEdge } from "../model/edge-report.ts";
import { TUNNEL_PORT } from "../model/tunnel-plan.ts";

/** What addresses mean at the moment. */
export interface EdgeWorld {
  readonly nodeName: string;
  readonly owned: ReadonlyMap<string, Pod>;
  /** Addresses of nodes. */
  readonly nodes: ReadonlyMap<string, string>;
  /** Addresses of Services: what goes there goes to a worker, which calls on. */
  readonly services: { readonly has: (address: string) => boolean };
  /** Whether both prove who they are where they meet. */
  readonly isProven: (client: string, server: string) => boolean;
}

/** One of the two ends, by what the book knows it by. */
interface End {
  readonly key: string;
  readonly address: string;
  readonly pod?: Pod;
  readonly node?: string;
}

type Edge = { -readonly [K in keyof Omit<RecordedEdge, "client" | "server">]: RecordedEdge[K] } & {
  readonly client: End;
  readonly server: End;
};

const MAX_EDGES = 20_000;
/** Flows of one look that the next one knows again; beyond, they count twice. */
const MAX_REMEMBERED_FLOWS = 200_000;
const IPV4_BLOCK_BYTES = 3;
const IPV6_BLOCK_BYTES = 8;

export class EdgeBook {
  /** Those seen last stand last. */
  readonly #edges = new Map<string, Edge>();
  readonly #maxEdges: number;
  #known: ReadonlySet<string> = new Set();
  #seen = new Set<string>();

  constructor(maxEdges = MAX_EDGES) {
    this.#maxEdges = maxEdges;
  }

  /** Notes what one look at the kernel's flows found. @param nowMs since 1970 */
  add(flows: readonly ConntrackEntry[], world: EdgeWorld, nowMs: number): void {
    for (const flow of flows) this.#addFlow(flow, world, nowMs);
  }

  /** A look is over: flows that it saw are old news in the next one. */
  endLook(): void {
    this.#known = this.#seen;
    this.#seen = new Set();
  }

  report(node: string): EdgeReport {
    const pods = new Map<Pod, number>();
    const place = ({ address, pod, node: name }: End) => {
      if (pod !== undefined && !pods.has(pod)) pods.set(pod, pods.size);
      const number = pod && pods.get(pod);
      return {
        address,
        ...(number !== undefined && { pod: number }),
        ...(name !== undefined && { node: name }),
      };
    };
    const edges = [...this.#edges.values()].map(({ client, server, ...rest }) => ({
      client: place(client),
      server: place(server),
      ...rest,
    }));
    return { node, pods: [...pods.keys()].map(facesOf), edges };
  }

  #addFlow(flow: ConntrackEntry, world: EdgeWorld, nowMs: number): void {
    const protocol = nameOf(flow.protocol);
    const { source } = flow.original;
    const { source: target, sourcePort: port } = flow.reply;
    const isOfNode = [source, target].some(
      (address) => world.owned.get(address)?.nodeName === world.nodeName,
    );
    if (protocol === undefined || !isOfNode || world.services.has(target)) return;
    if (protocol === "TCP" && port === TUNNEL_PORT) return;
    const [client, server] = [endOf(source, world), endOf(target, world)];
    const isProven = protocol === "TCP" && world.isProven(source, target);
    const key = [client.key, server.key, protocol, port, isProven].join(" ");
    const before = this.#edges.get(key);
    const isNew = this.#isNew(flow);
    this.#edges.delete(key);
    this.#edges.set(key, {
      client,
      server,
      protocol,
      port,
      isProven,
      firstMs: before?.firstMs ?? nowMs,
      lastMs: nowMs,
      count: (before?.count ?? 0) + (isNew ? 1 : 0),
    });
    if (this.#edges.size > this.#maxEdges) this.#forgetOldest();
  }

  #isNew({ id, original, protocol }: ConntrackEntry): boolean {
    const name = `${protocol} ${original.source} ${original.sourcePort} ${id}`;
    if (this.#seen.size < MAX_REMEMBERED_FLOWS) this.#seen.add(name);
    return !this.#known.has(name);
  }

  #forgetOldest(): void {
    for (const key of this.#edges.keys()) {
      this.#edges.delete(key);
      return;
    }
  }
}

/** A pod, a node, or a block of addresses that stand for each other; the last one met is told. */
function endOf(address: string, { owned, nodes }: EdgeWorld): End {
  const pod = owned.get(address);
  if (pod !== undefined) return { key: `${pod.uid} ${address}`, address, pod };
  const node = nodes.get(address);
  if (node !== undefined) return { key: `node ${node}`, address, node };
  return { key: blockOf(address), address };
}

function blockOf(address: string): string {
  const bytes = addressBytes(address).slice();
  bytes.fill(0, familyOf(address) === "ip" ? IPV4_BLOCK_BYTES : IPV6_BLOCK_BYTES);
  return formatAddress(bytes);
}

function nameOf(protocol: number): "TCP" | "UDP" | undefined {
  return protocol === protocolTcp ? "TCP" : protocol === protocolUdp ? "UDP" : undefined;
}

function facesOf(pod: Pod): EdgePod {
  const { namespace, name, nodeName, serviceAccount, labels, ports } = pod;
  return { namespace, name, nodeName, serviceAccount, labels, ports };
}

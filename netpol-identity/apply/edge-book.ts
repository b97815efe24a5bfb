// Who called whom on this node lately: what a change of policies is rehearsed against. A bounded
// memory of pairs, by pods and what they were then, so that pods that are gone still count; where
// workers read requests, with the last few of them.

import { addressBytes, familyOf, formatAddress } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import {
  type ConntrackEntry,
  protocolTcp,
  protocolUdp,
} from "../../lib/netlink/conntrack-entry.ts";
import type { EdgePod, EdgeReport, RecordedEdge, RecordedRequest } from "../model/edge-report.ts";
import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import { RequestBook } from "./request-book.ts";

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

interface Edge extends Pick<RecordedEdge, "protocol" | "port" | "isProven" | "firstMs" | "lastMs"> {
  readonly key: string;
  readonly client: End;
  readonly server: End;
  count: number;
}

/** What went from whom to whom. */
interface Sight {
  readonly source: string;
  readonly target: string;
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
}

/** Requests of one client to one pod, as a worker tells of them. */
export interface EdgeRequests extends Omit<Sight, "protocol"> {
  readonly requests: readonly RecordedRequest[];
  readonly hasMore: boolean;
}

const MAX_EDGES = 20_000;
/** Flows of one look that the next one knows again; beyond, they count twice. */
const MAX_REMEMBERED_FLOWS = 200_000;
const IPV4_BLOCK_BYTES = 3;
const IPV6_BLOCK_BYTES = 8;

export class EdgeBook {
  /** Those seen last stand last. */
  readonly #edges = new Map<string, Edge>();
  readonly #requests = new RequestBook();
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

  /** Notes what a worker saw; the connections themselves are for a look to count. */
  addRequests(seen: EdgeRequests, world: EdgeWorld, nowMs: number): void {
    const edge = this.#see({ ...seen, protocol: "TCP" }, world, nowMs);
    if (edge !== undefined) this.#requests.add(edge.key, seen.requests, seen.hasMore);
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
    const edges = [...this.#edges.values()].map(({ key, client, server, ...rest }) => ({
      client: place(client),
      server: place(server),
      ...rest,
      ...this.#requests.of(key),
    }));
    return { node, pods: [...pods.keys()].map(facesOf), edges };
  }

  #addFlow(flow: ConntrackEntry, world: EdgeWorld, nowMs: number): void {
    const protocol = nameOf(flow.protocol);
    const { source } = flow.original;
    const { source: target, sourcePort: port } = flow.reply;
    if (protocol === undefined) return;
    const edge = this.#see({ source, target, protocol, port }, world, nowMs);
    if (edge !== undefined && this.#isNew(flow)) edge.count++;
  }

  /** @returns undefined where it is no edge of this node */
  #see(
    { source, target, protocol, port }: Sight,
    world: EdgeWorld,
    nowMs: number,
  ): Edge | undefined {
    const isOfNode = [source, target].some(
      (address) => world.owned.get(address)?.nodeName === world.nodeName,
    );
    if (!isOfNode || world.services.has(target)) return undefined;
    if (protocol === "TCP" && port === TUNNEL_PORT) return undefined;
    const [client, server] = [endOf(source, world), endOf(target, world)];
    const isProven = protocol === "TCP" && world.isProven(source, target);
    const key = [client.key, server.key, protocol, port, isProven].join(" ");
    const before = this.#edges.get(key);
    const edge: Edge = {
      key,
      client,
      server,
      protocol,
      port,
      isProven,
      firstMs: before?.firstMs ?? nowMs,
      lastMs: nowMs,
      count: before?.count ?? 0,
    };
    this.#edges.delete(key);
    this.#edges.set(key, edge);
    if (this.#edges.size > this.#maxEdges) this.#forgetOldest();
    return edge;
  }

  #isNew({ id, original, protocol }: ConntrackEntry): boolean {
    const name = `${protocol} ${original.source} ${original.sourcePort} ${id}`;
    if (this.#seen.size < MAX_REMEMBERED_FLOWS) this.#seen.add(name);
    return !this.#known.has(name);
  }

  #forgetOldest(): void {
    for (const key of this.#edges.keys()) {
      this.#edges.delete(key);
      this.#requests.forget(key);
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

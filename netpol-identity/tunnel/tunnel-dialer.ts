// Dials for whoever connects on behalf of pods, and puts what enrolled pods say to each other into
// tunnels: from a pod of this node, or the node itself, to a pod elsewhere. What must not go in
// plaintext fails.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import { H2_ERROR } from "../../lib/http/h2-frame.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { Dialer, DialOptions, DialQuestion } from "../../lib/reactor/transparent-socket.ts";
import type { SpiffeUri, TunnelPeer, TunnelWorkload } from "../model/tunnel-plan.ts";
import { ClientCounts } from "./client-counts.ts";
import { startTrace } from "./connect-head.ts";
import { InspectedDial } from "./inspected-dial.ts";
import type { JudgeRequest } from "./inspection.ts";
import type { TunnelPair } from "./tunnel-handshake.ts";
import { MOST_PAIRS, PAIRS_SHARE } from "./tunnel-limits.ts";
import type { FlowVerdict, Occasion, TunnelParts } from "./tunnel-parts.ts";
import { TunnelPool } from "./tunnel-pool.ts";
import { type StreamResult, TunnelStream } from "./tunnel-stream.ts";

/** How a connection goes, and between whom. */
export type TunnelRoute =
  | { readonly kind: "tunnel"; readonly source: TunnelWorkload; readonly peer: TunnelPeer }
  | {
      readonly kind: "node";
      readonly source: SpiffeUri;
      readonly destination: SpiffeUri;
      /** Asked about each request. */
      readonly judge?: JudgeRequest;
    }
  | {
      readonly kind: "plaintext";
      readonly source?: SpiffeUri;
      readonly judge?: JudgeRequest;
    }
  | {
      readonly kind: "denied";
      readonly source?: SpiffeUri;
      readonly destination?: SpiffeUri;
      readonly rule: string;
    };

/** Who is known at the two ends; null: nobody. */
export interface ProvenPair {
  readonly source: SpiffeUri | null;
  readonly destination: SpiffeUri | null;
}

export const NOBODY_PROVEN: ProvenPair = { source: null, destination: null };
/** A pod takes nothing from somebody who proves nothing. */
const STRICT = "strict";
const NO_ADDRESS = { address: "", port: 0 };

export class TunnelDialer implements Dialer {
  readonly #parts: TunnelParts;
  readonly #pools = new Map<string, TunnelPool>();
  /** Of each client. */
  readonly #pairs = new ClientCounts();
  readonly #inspected = new Set<InspectedDial>();

  constructor(parts: TunnelParts) {
    this.#parts = parts;
  }

  get isIdle(): boolean {
    return this.#pools.size === 0;
  }

  dial(options: DialOptions, owner: StreamOwner): ByteStream | string {
    const { to, from } = options;
    const client = this.#clientOf(options);
    const route = this.routeOf(to, client);
    if (route.kind === "denied") return "EACCES";
    if (route.kind === "tunnel" && client !== undefined) {
      const { source, peer } = route;
      const pair = {
        client: { address: client, workload: source },
        from: source === this.#parts.tables.host ? undefined : client,
        target: { address: to.address, peer },
      };
      return this.#tunnel(pair, to, owner);
    }
    if (route.kind !== "tunnel" && route.judge !== undefined) {
      return this.#inspect(options, route.judge, proofOf(route), owner);
    }
    const stream = this.#parts.inner.dial(from === undefined ? { to } : { to, from }, owner);
    if (route.kind === "node" && stream instanceof TcpStream) {
      stream.proof = proofOf(route);
    }
    return stream;
  }

  isPersonal(client: Address): boolean {
    return this.#callerAt(client) !== undefined;
  }

  readonly revision = 0;

  /** Of what needs no policy to be refused. */
  refusal(question: DialQuestion): string | undefined {
    const { tables } = this.#parts;
    if (tables.workload(question.to.address)?.mode !== "strict") return undefined;
    const client = this.#clientOf(question);
    return client === undefined || this.#callerAt(client) === undefined ? STRICT : undefined;
  }

  /** Whom a connection would prove to whom; the client's own part is known to this node alone. */
  pairOf(to: Address, client: Address | undefined): ProvenPair {
    const { tables } = this.#parts;
    const source = client === undefined ? undefined : tables.workload(client);
    if (source === undefined) return NOBODY_PROVEN;
    const endpoint = tables.workload(to) ?? this.#peerOf(source, to);
    return { source: source.identity, destination: endpoint?.identity ?? null };
  }

  /** @param client as of `DialOptions`, or an address of this node itself */
  routeOf(
    to: SocketAddress,
    client: Address | undefined,
    occasion: Occasion = "asked",
  ): TunnelRoute {
    const { tables, authorize } = this.#parts;
    const source = client === undefined ? undefined : this.#callerAt(client);
    if (source !== undefined && source === tables.host) return this.#hostRoute(source, to.address);
    const local = tables.workload(to.address);
    if (source === undefined || client === undefined) {
      if (local?.mode !== "strict") return { kind: "plaintext" };
      return { kind: "denied", destination: local.identity, rule: STRICT };
    }
    const peer = local === undefined ? this.#peerOf(source, to.address) : undefined;
    const destination = (local ?? peer)?.identity;
    const pods = {
      source: source.identity,
      ...(destination === undefined ? {} : { destination }),
    };
    const here = local === undefined ? "client" : "both";
    const verdict = authorize({ ...pods, client, target: to, here }, occasion);
    if (verdict.kind === "deny") return { kind: "denied", ...pods, rule: verdict.rule };
    if (peer !== undefined) return { kind: "tunnel", source, peer };
    const judge = verdict.kind === "inspect" ? { judge: verdict.judge } : {};
    if (local === undefined) return { kind: "plaintext", source: source.identity, ...judge };
    return { kind: "node", source: source.identity, destination: local.identity, ...judge };
  }

  /** What is known of identities changed. */
  changed(): void {
    const { tables } = this.#parts;
    for (const [key, pool] of this.#pools) {
      const { client, target } = pool.pair;
      const source = this.#callerAt(client.address);
      const peer = tables.peer(target.address);
      const isSame =
        source !== undefined &&
        keyOf(client.address, source, target.address, peer ?? target.peer) === key;
      if (isSame) {
        pool.changed();
        // It has left the mesh, and takes what is under way; or it is gone, as its node will say.
        if (peer === undefined) pool.retire();
      } else {
        this.#drop(key, pool);
        pool.close();
      }
    }
  }

  /** Policies changed: asks again about what is inspected on its way to pods of this node. */
  rejudge(): void {
    for (const dial of this.#inspected) {
      const { to, client } = dial.options;
      const route = this.routeOf(to, client);
      dial.rejudge(verdictOf(route));
    }
  }

  /** To be called every second. */
  sweep(): void {
    for (const [key, pool] of this.#pools) {
      pool.sweep();
      if (pool.isEmpty) this.#drop(key, pool);
    }
  }

  /** Sessions end after their last stream; what is dialled yet goes through new ones. */
  drain(): void {
    for (const pool of this.#pools.values()) pool.retire();
  }

  /** Ends everything now. */
  close(): void {
    for (const [key, pool] of this.#pools) {
      pool.close();
      this.#drop(key, pool);
    }
  }

  /**
   * Policies of its pods do not bind a node, and those of others are judged at theirs. Without its
   * certificate it speaks as it can: what signs may itself be reached by tunnel.
   */
  #hostRoute({ identity: source }: TunnelWorkload, to: Address): TunnelRoute {
    const { tables } = this.#parts;
    const { host } = tables;
    const local = tables.workload(to);
    if (local !== undefined) return { kind: "node", source, destination: local.identity };
    const peer = tables.peer(to);
    if (peer === undefined || host === undefined) return { kind: "plaintext" };
    if (tables.credential(source) === undefined) return { kind: "plaintext", source };
    return { kind: "tunnel", source: host, peer };
  }

  /** A pod is known by where its packets entered, a process of the node by the node's address. */
  #clientOf({ client, source }: Pick<DialOptions, "client" | "source">): Address | undefined {
    if (client !== undefined) return client;
    return source !== undefined && this.#parts.isHost(source) ? source : undefined;
  }

  /** Who has an identity at an address of this node. */
  #callerAt(address: Address): TunnelWorkload | undefined {
    const { tables, isHost } = this.#parts;
    return tables.workload(address) ?? (isHost(address) ? tables.host : undefined);
  }

  /** Whoever leaves begins no tunnel any more. */
  #peerOf({ mode }: TunnelWorkload, to: Address): TunnelPeer | undefined {
    return mode === "leaving" ? undefined : this.#parts.tables.peer(to);
  }

  #inspect(
    options: DialOptions,
    judge: JudgeRequest,
    proof: StreamProof | undefined,
    owner: StreamOwner,
  ): ByteStream | string {
    const dial = new InspectedDial(this.#parts, options, { proof, judge }, () =>
      this.#inspected.delete(dial),
    );
    const stream = dial.dial(owner);
    if (typeof stream !== "string") this.#inspected.add(dial);
    return stream;
  }

  #tunnel(pair: TunnelPair, to: SocketAddress, owner: StreamOwner): TunnelStream | string {
    const pool = this.#pool(pair);
    if (pool === undefined) return "EAGAIN";
    const { reactor, telemetry } = this.#parts;
    const traceparent = startTrace(this.#parts.random);
    const stream = new TunnelStream(
      {
        reactor,
        ends: { local: NO_ADDRESS, remote: to },
        proof: {
          carrier: "tunnel",
          source: pair.client.workload.identity,
          endpoint: pair.target.peer.identity,
        },
        resetCode: H2_ERROR.cancel,
        onOver: (over, result) => {
          pool.forget(over);
          telemetry.open("client", "streams", -1);
          this.#report(pair, over, { result, traceparent });
        },
      },
      owner,
    );
    telemetry.open("client", "streams", 1);
    pool.open(stream, traceparent);
    return stream;
  }

  #pool(pair: TunnelPair): TunnelPool | undefined {
    const { client, target } = pair;
    const key = keyOf(client.address, client.workload, target.address, target.peer);
    const existing = this.#pools.get(key);
    if (existing !== undefined) return existing;
    const free = MOST_PAIRS - this.#pools.size;
    if (this.#pairs.of(client.address) >= free * PAIRS_SHARE) return undefined;
    const pool = new TunnelPool(this.#parts, pair);
    this.#pools.set(key, pool);
    this.#pairs.add(client.address);
    return pool;
  }

  #drop(key: string, { pair }: TunnelPool): void {
    this.#pools.delete(key);
    this.#pairs.remove(pair.client.address);
  }

  #report(
    { client, target }: TunnelPair,
    stream: TunnelStream,
    { result, traceparent }: { readonly result: StreamResult; readonly traceparent: string },
  ): void {
    const { reactor, telemetry, onFinished } = this.#parts;
    telemetry.connection("client", result);
    onFinished({
      side: "client",
      via: "tunnel",
      source: client.workload.identity,
      destination: target.peer.identity,
      client: client.address,
      target: stream.remote,
      sentBytes: stream.sentBytes,
      receivedBytes: stream.receivedBytes,
      durationMs: reactor.nowMs - stream.startedMs,
      result,
      traceparent,
    });
  }
}

function proofOf(route: TunnelRoute): StreamProof | undefined {
  if (route.kind !== "node") return undefined;
  return { carrier: "node", source: route.source, endpoint: route.destination };
}

function verdictOf(route: TunnelRoute): FlowVerdict {
  switch (route.kind) {
    case "denied":
      return { kind: "deny", rule: route.rule };
    case "node":
    case "plaintext":
      if (route.judge === undefined) return { kind: "allow" };
      return { kind: "inspect", rule: "", judge: route.judge };
    // The pod is another one by now, or the client is.
    default:
      return { kind: "deny", rule: "" };
  }
}

/** What an address meant ends with its pod: another one there has sessions of its own. */
function keyOf(client: Address, source: TunnelWorkload, target: Address, peer: TunnelPeer): string {
  return [client, source.uid, source.identity, target, peer.uid, peer.identity].join(" ");
}

// Dials for whoever connects on behalf of pods, and puts what enrolled pods say to each other into
// tunnels: from a pod of this node to one elsewhere. What must not go in plaintext fails.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { H2_ERROR } from "../../lib/http/h2-frame.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { Dialer, DialOptions } from "../../lib/reactor/transparent-socket.ts";
import type { SpiffeUri, TunnelPeer, TunnelWorkload } from "../model/tunnel-plan.ts";
import { startTrace } from "./connect-head.ts";
import type { TunnelPair } from "./tunnel-handshake.ts";
import { MOST_PAIRS } from "./tunnel-limits.ts";
import type { TunnelParts } from "./tunnel-parts.ts";
import { TunnelPool } from "./tunnel-pool.ts";
import { type StreamResult, TunnelStream } from "./tunnel-stream.ts";

/** How a connection goes, and between whom. */
export type TunnelRoute =
  | { readonly kind: "tunnel"; readonly source: TunnelWorkload; readonly peer: TunnelPeer }
  | { readonly kind: "node"; readonly source: SpiffeUri; readonly destination: SpiffeUri }
  | { readonly kind: "plaintext"; readonly source?: SpiffeUri }
  | {
      readonly kind: "denied";
      readonly source?: SpiffeUri;
      readonly destination: SpiffeUri;
      readonly rule: string;
    };

/** A pod takes nothing from somebody who proves nothing. */
const STRICT = "strict";
const NO_ADDRESS = { address: "", port: 0 };

export class TunnelDialer implements Dialer {
  readonly #parts: TunnelParts;
  readonly #pools = new Map<string, TunnelPool>();

  constructor(parts: TunnelParts) {
    this.#parts = parts;
  }

  get isIdle(): boolean {
    return this.#pools.size === 0;
  }

  dial(options: DialOptions, owner: StreamOwner): ByteStream | string {
    const { to, from, client } = options;
    const route = this.routeOf(to, client);
    if (route.kind === "denied") return "EACCES";
    if (route.kind === "tunnel" && client !== undefined) {
      const { source, peer } = route;
      const target = { address: to.address, peer };
      return this.#tunnel({ client: { address: client, workload: source }, target }, to, owner);
    }
    const stream = this.#parts.inner.dial(from === undefined ? { to } : { to, from }, owner);
    if (route.kind === "node" && stream instanceof TcpStream) {
      stream.proof = { carrier: "node", source: route.source, endpoint: route.destination };
    }
    return stream;
  }

  isPersonal(client: Address): boolean {
    return this.#parts.tables.workload(client) !== undefined;
  }

  /** @param client as of `DialOptions` */
  routeOf(to: SocketAddress, client: Address | undefined): TunnelRoute {
    const { tables, authorize } = this.#parts;
    const source = client === undefined ? undefined : tables.workload(client);
    const local = tables.workload(to.address);
    const known = source === undefined ? {} : { source: source.identity };
    if (local !== undefined) {
      if (source === undefined || client === undefined) {
        const destination = local.identity;
        if (local.mode === "strict") return { kind: "denied", destination, rule: STRICT };
        return { kind: "plaintext" };
      }
      const pods = { source: source.identity, destination: local.identity };
      const verdict = authorize({ ...pods, client, target: to });
      if (verdict.kind === "deny") return { kind: "denied", ...pods, rule: verdict.rule };
      return { kind: "node", ...pods };
    }
    const peer = source === undefined ? undefined : tables.peer(to.address);
    if (source === undefined || peer === undefined) return { kind: "plaintext", ...known };
    return { kind: "tunnel", source, peer };
  }

  /** What is known of identities changed. */
  changed(): void {
    const { tables } = this.#parts;
    for (const [key, pool] of this.#pools) {
      const { client, target } = pool.pair;
      const source = tables.workload(client.address);
      const peer = tables.peer(target.address);
      const isSame =
        source !== undefined &&
        peer !== undefined &&
        keyOf(client.address, source, target.address, peer) === key;
      if (isSame) {
        pool.changed();
      } else {
        this.#pools.delete(key);
        pool.close();
      }
    }
  }

  /** To be called every second. */
  sweep(): void {
    for (const [key, pool] of this.#pools) {
      pool.sweep();
      if (pool.isEmpty) this.#pools.delete(key);
    }
  }

  /** Sessions end after their last stream; what is dialled yet goes through new ones. */
  drain(): void {
    for (const pool of this.#pools.values()) pool.retire();
  }

  /** Ends everything now. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
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
    if (this.#pools.size >= MOST_PAIRS) return undefined;
    const pool = new TunnelPool(this.#parts, pair);
    this.#pools.set(key, pool);
    return pool;
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

/** What an address meant ends with its pod: another one there has sessions of its own. */
function keyOf(client: Address, source: TunnelWorkload, target: Address, peer: TunnelPeer): string {
  return [client, source.uid, source.identity, target, peer.uid, peer.identity].join(" ");
}

// A connection to a port of a pod of this node about which there are rules on requests: spoken as
// HTTP, judged request by request, and carried on to the pod alone, as whoever connected.

import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Dialer, DialOptions } from "../../lib/reactor/transparent-socket.ts";
import { SOURCES } from "../model/edge.ts";
import type { ProxyGroup } from "../model/proxy-plan.ts";
import { Circuit } from "./circuit-limits.ts";
import { edgeService } from "./client.ts";
import { ConnectionCounter } from "./connection-limits.ts";
import { GUARDED_RULE, type JudgeRequest, RequestGuard } from "./guarded-http-requests.ts";
import { HttpConnection } from "./http-connection.ts";
import type { HttpParts } from "./http-parts.ts";
import type { HttpDoor } from "./http-routing.ts";
import { endpointKey } from "./picker-endpoint.ts";
import { EndpointGroup } from "./picker-group.ts";
import type { ServedGroup, ServedPort } from "./proxy-tables.ts";
import { RetryBudget } from "./retry-budget.ts";
import { UpstreamPools } from "./upstream-pool.ts";

export interface GuardedConnection {
  /** The client's end. */
  readonly down: ByteStream;
  /** To the pod. It stands, and nothing was sent on it. */
  readonly up: ByteStream;
  /** Another one to the pod, from the client's own address; as `Dialer.dial`. */
  dial(owner: StreamOwner): ByteStream | string;
  /** Address and port of the client, and of the pod. */
  readonly client: SocketAddress;
  readonly target: SocketAddress;
  /** What counts call the pod: `ServiceAccount namespace/name`. */
  readonly workload: string;
  /** Who is at both ends; undefined where nothing proves it. */
  readonly proof: StreamProof | undefined;
  readonly judge: JudgeRequest;
  /** Called once, when the client's end is gone. */
  readonly onOver: () => void;
}

/** Of those that HTTP needs; how many connections there are is not for this port to say. */
const LIMITS = {
  maxConnections: Number.MAX_SAFE_INTEGER,
  maxConnectionsPerClient: Number.MAX_SAFE_INTEGER,
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 3_600_000,
};
/** Of what a pod says before it was asked. */
const MOST_EARLY_BYTES = 16_384;
const SIDE = { group: "", source: "client" } as const;

export class GuardedHttp {
  readonly #guard: RequestGuard;
  readonly #connection: HttpConnection;

  /** @param onEnd called once, before the connection's own `onOver` */
  constructor(shared: HttpParts, guarded: GuardedConnection, onEnd: () => void) {
    const { down, client, target, workload, proof, judge } = guarded;
    const { reactor, deadlines, output, tables } = shared;
    const dialer = new PodDialer(reactor, guarded);
    const pools = new UpstreamPools({ reactor, dialer, deadlines, output });
    const plan = planOf(target);
    const endpoints = new EndpointGroup();
    endpoints.update(plan, reactor.nowMs);
    const groups = {
      http1: groupOf({ ...plan, protocol: "http1" }, endpoints),
      http2: groupOf({ ...plan, protocol: "http2" }, endpoints),
    };
    const pod = endpointKey({ ...target, local: true });
    this.#guard = new RequestGuard({ pod, groups, proof, judge });
    const namespace = tables.client(client.address)?.namespace ?? SOURCES.unknown;
    const door: HttpDoor = {
      client: { ...client, kind: "pod", source: namespaceOf(proof) ?? namespace },
      side: SIDE,
      port: portOf(target),
      dialled: target,
      service: edgeService({ service: workload, port: target.port }),
      defaultRule: GUARDED_RULE,
      guard: this.#guard,
    };
    const parts: HttpParts = { ...shared, dialer, pools, via: false };
    this.#connection = new HttpConnection(parts, door, down, () => {
      dialer.close();
      endpoints.update({ ...plan, endpoints: [] }, reactor.nowMs);
      pools.prune();
      onEnd();
      guarded.onOver();
    });
  }

  /** Other rules hold from here on; requests under way that they deny are broken off. */
  rejudge(judge: JudgeRequest): void {
    this.#guard.rejudge(judge);
  }

  /** Ends as soon as it can without loss. */
  drain(): void {
    this.#connection.drain();
  }

  /** Ends now. */
  abort(): void {
    this.#connection.abort();
  }
}

/** Connections to one pod's port for one client's connection; the first one stands already. */
class PodDialer implements Dialer {
  readonly revision = 0;
  readonly #reactor: Reactor;
  readonly #more: GuardedConnection;
  #first: ByteStream | undefined;
  /** What the pod said on it so far: of HTTP/2, its settings. */
  #early: Buffer = Buffer.alloc(0);

  constructor(reactor: Reactor, guarded: GuardedConnection) {
    this.#reactor = reactor;
    this.#more = guarded;
    this.#first = guarded.up;
    guarded.up.owner = {
      onData: (bytes, start, end) => this.#keep(bytes.subarray(start, end)),
      // A pod that closed it gets its request on another one.
      onEnd: () => this.close(),
      onDrained() {},
      onClosed: () => this.close(),
    };
  }

  dial(_: DialOptions, owner: StreamOwner): ByteStream | string {
    const first = this.#first;
    if (first === undefined) return this.#more.dial(owner);
    this.#first = undefined;
    // What the pod says in this very round of events comes after its word that it stands.
    let isEnded = false;
    const soon: StreamOwner = {
      onData: (bytes, start, end) => this.#keep(bytes.subarray(start, end)),
      onEnd: () => (isEnded = true),
      onDrained() {},
      onClosed: (code) => owner.onClosed(code),
    };
    first.owner = soon;
    this.#reactor.later(() => {
      if (first.isOpen) first.owner = owner;
      if (first.isOpen) owner.onOpen?.();
      const { length } = this.#early;
      if (first.isOpen && length > 0) first.owner.onData(this.#early, 0, length);
      if (first.isOpen && isEnded) first.owner.onEnd();
    });
    return first;
  }

  isPersonal(): boolean {
    return false;
  }

  /** The requests are judged. */
  refusal(): undefined {}

  /** Of what nobody took. */
  close(): void {
    this.#first?.close();
    this.#first = undefined;
  }

  #keep(bytes: Buffer): void {
    this.#early = Buffer.concat([this.#early, bytes]);
    if (this.#early.length > MOST_EARLY_BYTES) this.close();
  }
}

function planOf({ address, port }: SocketAddress): ProxyGroup {
  return {
    service: "",
    port,
    endpoints: [{ address, port, local: true }],
    balancing: { algorithm: "random" },
    protocol: "http1",
    proxyProtocol: false,
  };
}

function groupOf(plan: ProxyGroup, endpoints: EndpointGroup): ServedGroup {
  return { key: "", plan, endpoints, circuit: new Circuit(), retries: new RetryBudget() };
}

function portOf({ port }: SocketAddress): ServedPort {
  return {
    key: "",
    plan: { service: "", port, kind: { kind: "http" }, limits: LIMITS },
    connections: new ConnectionCounter(),
  };
}

/** `spiffe://cluster.local/ns/shop/sa/web` → `shop` */
function namespaceOf(proof: StreamProof | undefined): string | undefined {
  return /\/ns\/([^/]+)\//.exec(proof?.source ?? "")?.[1];
}

// Our tunnels in this process, on addresses of its namespace: the door of enrolled pods, and a
// client on behalf of one. What a worker does around them, TPROXY above all, is not here.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { parseAddress } from "../../lib/ip/address.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { Reactor } from "../../lib/reactor/reactor.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import { listenTransparent, TransparentDialer } from "../../lib/reactor/transparent-socket.ts";
import type {
  TunnelCredential,
  TunnelPeer,
  TunnelWorkload,
} from "../../netpol-identity/model/tunnel-plan.ts";
import { TunnelDialer } from "../../netpol-identity/tunnel/tunnel-dialer.ts";
import { TUNNEL_PORT } from "../../netpol-identity/model/tunnel-plan.ts";
import { SWEEP_PERIOD_MS } from "../../netpol-identity/tunnel/tunnel-limits.ts";
import { GATHERED_BYTES } from "../../netpol-identity/tunnel/tunnel-output.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import type { Authorize } from "../../netpol-identity/tunnel/tunnel-parts.ts";
import { TunnelSecurity } from "../../netpol-identity/tunnel/tunnel-security.ts";
import { TunnelServer } from "../../netpol-identity/tunnel/tunnel-server.ts";
import { TunnelTables } from "../../netpol-identity/tunnel/tunnel-tables.ts";
import {
  type TunnelRecord,
  TunnelTelemetry,
} from "../../netpol-identity/tunnel/tunnel-telemetry.ts";
import type { Credential } from "./openssl-authority.ts";

/** An enrolled pod. */
export interface TunnelPod {
  readonly address: string;
  readonly uri: string;
}

export interface TunnelNodeOptions {
  /** PEM of the roots, by trust domain. */
  readonly bundles: Readonly<Record<string, string>>;
  /** Of this node. */
  readonly pods: readonly (TunnelPod & {
    readonly credential?: Pick<Credential, "chain" | "key">;
  })[];
  /** Elsewhere. */
  readonly peers?: readonly TunnelPod[];
  /** @default everybody */
  readonly authorize?: Authorize;
}

/** What a client on behalf of a pod got. */
export interface TunnelExchange {
  /** "" when all came back and both sides ended in order. */
  readonly code: string;
  readonly received: Buffer;
}

export class TunnelNode implements Disposable {
  /** Connections that ended. */
  readonly records: TunnelRecord[] = [];
  readonly #reactor = new Reactor(() => performance.now());
  readonly #tables = new TunnelTables();
  readonly #security: TunnelSecurity;
  readonly #telemetry = new TunnelTelemetry();
  readonly #handshakes: string[] = [];
  readonly #server: TunnelServer;
  readonly #dialer: TunnelDialer;
  readonly #listeners: readonly Listener[];
  readonly #sweep: NodeJS.Timeout;

  constructor({ bundles, pods, peers = [], authorize }: TunnelNodeOptions) {
    const reactor = this.#reactor;
    const tables = this.#tables;
    tables.apply({
      bundles: Object.entries(bundles).map(([domain, pem]) => [domain, [pem]]),
      credentials: pods.flatMap(({ uri, credential }) => {
        if (credential === undefined) return [];
        const { chain, key } = credential;
        const notAfterMs = new X509Certificate(chain).validToDate.getTime();
        return [[uri, { chain, key, notAfterMs }] as const];
      }),
      workloads: pods.map((pod) => [pod.address, workloadOf(pod)]),
      peers: peers.map((pod) => [pod.address, peerOf(pod)]),
    });
    this.#security = new TunnelSecurity(reactor, tables, Date.now);
    const parts = {
      reactor,
      inner: new TransparentDialer(reactor, Math.random),
      isHost: () => false,
      tables,
      security: this.#security,
      frames: new OutputBuffer(reactor, GATHERED_BYTES),
      telemetry: this.#telemetry,
      authorize: authorize ?? (() => ({ kind: "allow" }) as const),
      inspect: () => assert.fail("no rule is about requests"),
      onFinished: (record: TunnelRecord) => void this.records.push(record),
      wallMs: Date.now,
      random: Math.random,
    };
    this.#server = new TunnelServer(parts);
    this.#dialer = new TunnelDialer(parts);
    const onConnection: Parameters<typeof listenTransparent>[1]["onConnection"] = (fd, ends) =>
      this.#server.accept(fd, ends);
    this.#listeners = pods.map(({ address }) =>
      listenTransparent(reactor, { address, port: TUNNEL_PORT, onConnection }),
    );
    this.#sweep = setInterval(() => {
      this.#server.sweep();
      this.#dialer.sweep();
    }, SWEEP_PERIOD_MS);
  }

  /** Takes up another certificate of one of its pods, or that there is none. */
  prove(uri: string, credential: TunnelCredential | undefined): void {
    // Workers get it as JSON, for only so its key can be seen.
    const told = credential && (JSON.parse(JSON.stringify(credential)) as TunnelCredential);
    const credentials = [[uri, told ?? null]] as const;
    this.#tables.apply({ bundles: [], credentials, workloads: [], peers: [] });
    this.#security.changed();
    this.#server.changed();
    this.#dialer.changed();
  }

  /** Each handshake so far as `side result`, e.g. `server ok`, in no order within a call. */
  handshakes(): readonly string[] {
    for (const [side, result, times] of this.#telemetry.take().handshakes) {
      for (let i = 0; i < times; i++) this.#handshakes.push(`${side} ${result}`);
    }
    return this.#handshakes;
  }

  /** As the pod at `client`: sends bytes to an echo at `target`, ends, and reads to the end. */
  async exchange(client: string, target: string, bytes: Buffer): Promise<TunnelExchange> {
    const { hostname, port } = new URL(`tcp://${target}`);
    const address = parseAddress(hostname.replaceAll(/[[\]]/g, "")) ?? "";
    const { promise, resolve } = Promise.withResolvers<TunnelExchange>();
    const chunks: Buffer[] = [];
    const end = (code: string): void => resolve({ code, received: Buffer.concat(chunks) });
    const owner: StreamOwner = {
      onOpen() {
        if (typeof stream === "string") return;
        stream.write(bytes, 0, bytes.length);
        stream.end();
      },
      onData: (data, start, stop) => void chunks.push(Buffer.from(data.subarray(start, stop))),
      onEnd() {},
      onDrained() {},
      onClosed: (code) => end(code ?? ""),
    };
    const stream = this.#dialer.dial({ to: { address, port: Number(port) }, client }, owner);
    if (typeof stream === "string") end(stream);
    return promise;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    for (const listener of this.#listeners) listener.close();
    this.#server.close();
    this.#dialer.close();
    this.#reactor.stop();
  }
}

function workloadOf({ address, uri }: TunnelPod): TunnelWorkload {
  const [, namespace = "", pod = ""] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(uri) ?? [];
  return { identity: uri, namespace, pod: `${pod}-1`, uid: `uid-${address}`, mode: "strict" };
}

function peerOf({ address, uri }: TunnelPod): TunnelPeer {
  return { identity: uri, uid: `uid-${address}` };
}

// A session from a pod elsewhere to one of this node: each stream asks for a port of the pod, gets
// a verdict, and is joined with a connection that comes from the client's own address.

import type { Address } from "../../lib/ip/address.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { H2_ERROR } from "../../lib/http/h2-frame.ts";
import type { H2RequestHead } from "../../lib/http/h2-head.ts";
import type { SpiffeUri, TunnelCredential, TunnelWorkload } from "../model/tunnel-plan.ts";
import { judgeConnect, startTrace } from "./connect-head.ts";
import { ServedStream } from "./served-stream.ts";
import { EXPIRY_MARGIN_MS } from "./tunnel-limits.ts";
import type { FlowVerdict, Occasion, TunnelParts } from "./tunnel-parts.ts";
import type { SecuredStream } from "./tunnel-security.ts";
import { TunnelSession } from "./tunnel-session.ts";
import { TunnelStream } from "./tunnel-stream.ts";
import type { TunnelRecord } from "./tunnel-telemetry.ts";

/** Who is at both ends. */
export interface ServedPair {
  readonly secured: SecuredStream;
  /** What proved the pod that was dialled. */
  readonly credential: TunnelCredential;
  /** Proven by the certificate of the peer. */
  readonly source: SpiffeUri;
  /** Of both certificates the earlier end. */
  readonly notAfterMs: number;
  /** Where the connection comes from: the pod that connects. */
  readonly client: Address;
  /** Where it came to. */
  readonly dialled: Address;
  readonly workload: TunnelWorkload;
}

/** A connection that a peer asked for. */
interface Judged {
  readonly target: SocketAddress;
  readonly traceparent: string;
  readonly verdict: FlowVerdict;
}

export class ServedTunnel {
  readonly #parts: TunnelParts;
  readonly #pair: ServedPair;
  readonly #session: TunnelSession;
  readonly #streams = new Set<ServedStream>();

  /** @param onOver called once */
  constructor(parts: TunnelParts, pair: ServedPair, onOver: () => void) {
    const { reactor, frames, telemetry } = parts;
    this.#parts = parts;
    this.#pair = pair;
    telemetry.open("server", "sessions", 1);
    this.#session = new TunnelSession(
      {
        reactor,
        frames,
        moved: (received, sent) => telemetry.moved("server", received, sent),
        onOver: () => {
          telemetry.open("server", "sessions", -1);
          onOver();
        },
      },
      pair.secured.stream,
      { kind: "server", onRequest: (id, head) => this.#onRequest(id, head) },
    );
  }

  /**
   * Both ends must still be who they were. After a renewal new connections are to go elsewhere:
   * once a root is taken away, nothing is left that its certificates proved.
   */
  changed(): void {
    const { secured, credential, dialled, workload } = this.#pair;
    const { tables } = this.#parts;
    const now = tables.workload(dialled);
    const isSame = now?.uid === workload.uid && now.identity === workload.identity;
    if (!isSame || secured.proof().kind === "refused") this.close();
    else if (tables.credential(workload.identity) !== credential) this.drain();
  }

  /** Policies changed: streams that they allow no more end, and say by which rule. */
  rejudge(): void {
    for (const stream of this.#streams) {
      stream.rejudge(this.#authorize(stream.target, "asked"));
    }
  }

  sweep(): void {
    const wall = this.#parts.wallMs();
    this.#session.sweep();
    for (const stream of this.#streams) stream.sweep();
    const { notAfterMs } = this.#pair;
    if (wall >= notAfterMs) this.close();
    else if (wall >= notAfterMs - EXPIRY_MARGIN_MS) this.drain();
  }

  drain(): void {
    this.#session.retire();
  }

  close(): void {
    this.#session.abort("ECONNRESET");
  }

  #onRequest(id: number, head: H2RequestHead): void {
    const { random } = this.#parts;
    const { dialled } = this.#pair;
    const judged = judgeConnect(head, dialled);
    if (judged.kind === "refused") {
      const target = { address: dialled, port: 0 };
      this.#deny(id, judged.status, { target, rule: judged.why });
      return;
    }
    const { target, traceparent = startTrace(random) } = judged;
    const verdict = this.#authorize(target, "begins");
    if (verdict.kind === "deny") this.#deny(id, 403, { target, rule: verdict.rule, traceparent });
    else this.#connect(id, { target, traceparent, verdict });
  }

  #authorize(target: SocketAddress, occasion: Occasion): FlowVerdict {
    const { source, client, workload } = this.#pair;
    const flow = {
      source,
      client,
      destination: workload.identity,
      target,
      here: "target",
    } as const;
    return this.#parts.authorize(flow, occasion);
  }

  #deny(
    id: number,
    status: number,
    told: Pick<TunnelRecord, "target"> & Partial<TunnelRecord>,
  ): void {
    this.#session.refuse(id, status);
    this.#report({ sentBytes: 0, receivedBytes: 0, durationMs: 0, result: "denied", ...told });
  }

  #connect(id: number, { target, traceparent, verdict }: Judged): void {
    const { reactor, telemetry } = this.#parts;
    const { client, source, workload } = this.#pair;
    const stream = new TunnelStream(
      {
        reactor,
        ends: { local: target, remote: { address: client, port: 0 } },
        resetCode: H2_ERROR.connect,
        onOver: (over, result) => {
          this.#streams.delete(served);
          telemetry.open("server", "streams", -1);
          this.#report({
            target,
            sentBytes: over.receivedBytes,
            receivedBytes: over.sentBytes,
            durationMs: reactor.nowMs - over.startedMs,
            result: served.deniedBy === undefined ? result : "denied",
            ...(served.deniedBy === undefined ? {} : { rule: served.deniedBy }),
            traceparent,
          });
        },
      },
      NOBODY,
    );
    telemetry.open("server", "streams", 1);
    this.#session.adopt(id, stream);
    const proof = { carrier: "tunnel", source, endpoint: workload.identity } as const;
    const wanted = { stream, target, client, proof, verdict };
    const served = new ServedStream(this.#parts, wanted, (answer) => {
      if (answer === "connected") this.#session.accept(id, stream);
      else this.#session.refuse(id, 503);
    });
    this.#streams.add(served);
    served.start();
  }

  #report(told: Omit<TunnelRecord, "side" | "via" | "source" | "destination" | "client">): void {
    const { telemetry, onFinished } = this.#parts;
    const { source, workload, client } = this.#pair;
    telemetry.connection("server", told.result);
    onFinished({
      side: "server",
      via: "tunnel",
      source,
      destination: workload.identity,
      client,
      ...told,
    });
  }
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

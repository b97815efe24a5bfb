// How the connection between two nodes is secured, and who is at its other end: TLS 1.3 with
// certificates on both sides, judged by SPIFFE's rules and the bans.

import assert from "node:assert/strict";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import { TlsContext, type TlsSide } from "../../lib/tls/tls-context.ts";
import { TlsStream } from "../../lib/tls/tls-stream.ts";
import { type SvidRefusal, verifySvid } from "../../lib/x509/svid.ts";
import type { SpiffeUri, TunnelCredential } from "../model/tunnel-plan.ts";
import { TUNNEL_PROTOCOL } from "./tunnel-limits.ts";
import type { TunnelTables } from "./tunnel-tables.ts";

/** Who the peer is. The second kind is a closed set: metrics are labelled with it. */
export type PeerProof =
  | { readonly kind: "proven"; readonly identity: SpiffeUri; readonly notAfterMs: number }
  | { readonly kind: "refused"; readonly reason: ProofRefusal };

export type ProofRefusal = SvidRefusal | "banned" | "no-protocol";

export interface SecuredStream {
  readonly stream: ByteStream;
  /** After `onOpen`; to be asked again whenever the tables changed. */
  proof(): PeerProof;
  /** Of one that never opened: what was wrong with the peer's certificates, if it was that. */
  refusal(): SvidRefusal | undefined;
}

/** Of those that OpenSSL finds in a handshake (x509_vfy.h), those that SPIFFE's rules name too. */
const REFUSAL_BY_VERIFY_ERROR: ReadonlyMap<number, SvidRefusal> = new Map([
  [2, "unknown-issuer"],
  [7, "bad-signature"],
  [9, "not-yet-valid"],
  [10, "expired"],
  [18, "unknown-issuer"],
  [19, "unknown-issuer"],
  [20, "unknown-issuer"],
  [21, "unknown-issuer"],
  [22, "chain-too-long"],
  [24, "issuer-is-no-authority"],
  [25, "path-too-long"],
  [26, "wrong-extended-key-usage"],
  [32, "wrong-key-usage"],
  [34, "unknown-critical-extension"],
  [47, "name-not-permitted"],
  [66, "unfit-key"],
  [79, "issuer-is-no-authority"],
]);

interface Made {
  readonly credential: TunnelCredential;
  readonly anchors: readonly string[];
  /** Undefined when OpenSSL cannot use the credential. */
  readonly context: TlsContext | undefined;
}

export class TunnelSecurity {
  readonly #reactor: Reactor;
  readonly #tables: TunnelTables;
  readonly #wallMs: () => number;
  readonly #contexts: Readonly<Record<TlsSide, Map<SpiffeUri, Made>>> = {
    client: new Map(),
    server: new Map(),
  };

  constructor(reactor: Reactor, tables: TunnelTables, wallMs: () => number) {
    this.#reactor = reactor;
    this.#tables = tables;
    this.#wallMs = wallMs;
  }

  /**
   * Takes an open connection over; the owner hears `onOpen` once it is secured.
   * @param identity ours
   * @returns undefined when this identity cannot be proven now; the stream is untouched
   */
  secure(
    side: TlsSide,
    stream: ByteStream,
    identity: SpiffeUri,
    owner: StreamOwner,
  ): SecuredStream | undefined {
    assert(stream instanceof TcpStream, "TLS takes a descriptor over");
    const context = this.#context(side, identity);
    if (context === undefined) return undefined;
    const secured = TlsStream[side](this.#reactor, stream, context, owner);
    let chain: readonly Buffer[] | undefined;
    return {
      stream: secured,
      proof: () => {
        if (secured.protocol !== TUNNEL_PROTOCOL) return { kind: "refused", reason: "no-protocol" };
        chain ??= secured.peerChain;
        return this.#judge(chain);
      },
      refusal: () => REFUSAL_BY_VERIFY_ERROR.get(secured.verifyError),
    };
  }

  /** What the tables say of credentials and roots may differ. */
  changed(): void {
    for (const contexts of Object.values(this.#contexts)) {
      for (const [identity, made] of contexts) {
        if (this.#isFresh(identity, made)) continue;
        contexts.delete(identity);
        made.context?.close();
      }
    }
  }

  #judge(chain: readonly Buffer[]): PeerProof {
    const verdict = verifySvid(chain, this.#tables.bundles, this.#wallMs());
    if (verdict.kind === "refused") return verdict;
    const { uri, node, issuedMs, notAfterMs } = verdict;
    if (node !== undefined && this.#tables.isBanned(node, issuedMs)) {
      return { kind: "refused", reason: "banned" };
    }
    return { kind: "proven", identity: uri, notAfterMs };
  }

  #context(side: TlsSide, identity: SpiffeUri): TlsContext | undefined {
    const contexts = this.#contexts[side];
    const existing = contexts.get(identity);
    if (existing !== undefined) return existing.context;
    const credential = this.#tables.credential(identity);
    if (credential === undefined) return undefined;
    const { anchors } = this.#tables;
    const context = makeContext(side, credential, anchors);
    contexts.set(identity, { credential, anchors, context });
    return context;
  }

  #isFresh(identity: SpiffeUri, { credential, anchors }: Made): boolean {
    return this.#tables.credential(identity) === credential && this.#tables.anchors === anchors;
  }
}

function makeContext(
  side: TlsSide,
  { chain, key }: TunnelCredential,
  anchors: readonly string[],
): TlsContext | undefined {
  try {
    return new TlsContext({ side, chain, key, anchors, protocols: [TUNNEL_PROTOCOL] });
  } catch {
    return undefined;
  }
}

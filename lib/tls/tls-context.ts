// What one side of TLS connections shows and demands: its certificate, the roots it trusts, the
// protocols it speaks. TLS 1.3 alone, certificates on both sides, no resumption.

import {
  addAnchors,
  type ContextHandle,
  freeContext,
  newContext,
  newSession,
  type SessionHandle,
  useCredential,
  useProtocols,
} from "../sys/openssl.ts";

export type TlsSide = "client" | "server";

export interface TlsContextOptions {
  readonly side: TlsSide;
  /** PEM, the leaf first. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
  /** PEM: a peer's certificates must end in one of them. Whose root it may be is not asked here. */
  readonly anchors: readonly string[];
  /** ALPN; a peer that speaks none of them is refused. */
  readonly protocols: readonly string[];
}

/** Stays valid for its sessions after `close`. */
export class TlsContext implements Disposable {
  readonly side: TlsSide;
  readonly #handle: ContextHandle;
  #closed = false;

  /** @throws OpensslError with the reason: bad PEM, or a key of another certificate */
  constructor({ side, chain, key, anchors, protocols }: TlsContextOptions) {
    this.side = side;
    this.#handle = newContext(side);
    try {
      useCredential(this.#handle, chain, key);
      for (const anchor of anchors) addAnchors(this.#handle, anchor);
      useProtocols(this.#handle, side, protocols);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** For `TlsStream`. @throws OpensslError */
  newSession(fd: number): SessionHandle {
    return newSession(this.#handle, this.side, fd);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    freeContext(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

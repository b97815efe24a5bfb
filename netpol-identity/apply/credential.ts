// A private key with the chain that vouches for it. The key leaves it in two ways only, both for
// workers: by name, and as JSON. Printing, logging and spreading it show none.

import type { KeyObject } from "node:crypto";
import type { TunnelCredential } from "../model/tunnel-plan.ts";

export class Credential implements TunnelCredential {
  readonly chain: string;
  readonly notAfterMs: number;
  readonly #key: KeyObject;

  constructor(chain: string, notAfterMs: number, key: KeyObject) {
    this.chain = chain;
    this.notAfterMs = notAfterMs;
    this.#key = key;
  }

  get key(): string {
    return this.#key.export({ type: "pkcs8", format: "pem" }).toString();
  }

  toJSON(): TunnelCredential {
    const { chain, key, notAfterMs } = this;
    return { chain, key, notAfterMs };
  }
}

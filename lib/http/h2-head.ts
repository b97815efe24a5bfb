// From decoded fields to the head or the trailers of a message, or to the verdict that it is
// malformed (RFC 9113 §8.1 to §8.5, RFC 8441).

import { hasPort } from "./h1-syntax.ts";
import { FIELD_KIND, type FieldKind, type H2Field } from "./h2-field.ts";
import type { FieldSink } from "./hpack-decoder.ts";
import type { FieldLines, RequestHead, ResponseHead } from "./message.ts";

/** What a request says beside its fields, and how HTTP/2 frames it. */
export interface H2RequestHead extends RequestHead {
  /** `http` or `https` mostly; empty for CONNECT without `upgrade`. */
  readonly scheme: string;
  /** Stands in no field; what arrives was held against it. */
  readonly contentLength: number | undefined;
  /** The client waits for 100 (Continue). Stands in no field. */
  readonly expectContinue: boolean;
}

export interface H2ResponseHead extends ResponseHead {
  /** Stands in no field. Of an answer to HEAD or a 304, the length that is not sent. */
  readonly contentLength: number | undefined;
}

const CONTENT_LENGTH = 1 << FIELD_KIND.contentLength;
const EXPECT = 1 << FIELD_KIND.expect;
const HOST = 1 << FIELD_KIND.host;
const STATUS = 1 << FIELD_KIND.status;

/** Takes the fields of one block after another; each answer is about those since `begin`. */
export class H2HeadBuilder implements FieldSink {
  #fields: string[] = [];
  /** A bit for each kind that may come once. */
  #seen = 0;
  readonly #values: string[] = Array.from({ length: 12 }, () => "");
  #cookieAt = -1;
  #regular = false;
  #malformed = false;

  begin(): void {
    this.#fields = [];
    this.#seen = 0;
    this.#cookieAt = -1;
    this.#regular = false;
    this.#malformed = false;
  }

  field(field: H2Field): void {
    const { kind } = field;
    if (kind === FIELD_KIND.plain) {
      this.#regular = true;
      this.#fields.push(field.name, field.value);
    } else if (kind === FIELD_KIND.invalid) {
      this.#malformed = true;
    } else if (kind === FIELD_KIND.cookie) {
      this.#regular = true;
      this.#addCookie(field);
    } else {
      this.#addSingle(kind, field.value);
    }
  }

  /** @returns undefined when the request is malformed */
  request(extendedConnect: "allowed" | "refused"): H2RequestHead | undefined {
    const method = this.#value(FIELD_KIND.method);
    if (this.#malformed || method === undefined || this.#seen & STATUS) return undefined;
    const upgrade = this.#value(FIELD_KIND.protocol);
    const scheme = this.#value(FIELD_KIND.scheme);
    const path = this.#value(FIELD_KIND.path);
    const authority = this.#value(FIELD_KIND.authority) ?? this.#value(FIELD_KIND.host);
    if (authority === undefined || !this.#hostAgrees(authority)) return undefined;
    // What a tunnel carries is not the content of its request.
    if (method === "CONNECT" && this.#seen & CONTENT_LENGTH) return undefined;
    const contentLength = this.#contentLength();
    const expectContinue = (this.#seen & EXPECT) !== 0;
    const fields = this.#fields;
    if (method === "CONNECT" && upgrade === undefined) {
      if (scheme !== undefined || path !== undefined || !hasPort(authority)) return undefined;
      return { method, authority, path: "", fields, scheme: "", contentLength, expectContinue };
    }
    if (scheme === undefined || path === undefined) return undefined;
    if (path === "*" && method !== "OPTIONS") return undefined;
    if (upgrade === undefined) {
      return { method, authority, path, fields, scheme, contentLength, expectContinue };
    }
    if (method !== "CONNECT" || extendedConnect === "refused") return undefined;
    return { method, authority, path, upgrade, fields, scheme, contentLength, expectContinue };
  }

  /** @returns undefined when the response is malformed */
  response(): H2ResponseHead | undefined {
    if (this.#malformed || (this.#seen & ~CONTENT_LENGTH) !== STATUS) return undefined;
    const status = Number(this.#value(FIELD_KIND.status));
    // HTTP/2 has no use for 101.
    if (status === 101) return undefined;
    return { status, fields: this.#fields, contentLength: this.#contentLength() };
  }

  /** @returns undefined when the trailers are malformed */
  trailers(): FieldLines | undefined {
    return this.#malformed || this.#seen !== 0 ? undefined : this.#fields;
  }

  #contentLength(): number | undefined {
    return this.#seen & CONTENT_LENGTH ? Number(this.#values[FIELD_KIND.contentLength]) : undefined;
  }

  #value(kind: FieldKind): string | undefined {
    return this.#seen & (1 << kind) ? this.#values[kind] : undefined;
  }

  /** Crumbs are one field again, as HTTP/1.1 needs it (§8.2.3). */
  #addCookie({ name, value }: H2Field): void {
    if (this.#cookieAt < 0) {
      this.#cookieAt = this.#fields.length;
      this.#fields.push(name, value);
    } else {
      this.#fields[this.#cookieAt + 1] += `; ${value}`;
    }
  }

  /** Pseudo-fields stand before all others. */
  #addSingle(kind: FieldKind, value: string): void {
    const bit = 1 << kind;
    if (this.#seen & bit) this.#malformed = true;
    if (kind >= FIELD_KIND.host) this.#regular = true;
    else if (this.#regular) this.#malformed = true;
    this.#seen |= bit;
    this.#values[kind] = value;
  }

  #hostAgrees(authority: string): boolean {
    if ((this.#seen & HOST) === 0) return true;
    const host = this.#values[FIELD_KIND.host] ?? "";
    return host === authority || host.toLowerCase() === authority.toLowerCase();
  }
}

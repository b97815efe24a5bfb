// How long a message is and whether another may follow it (RFC 9112 §6, §9.3). Each rule leaves one
// reading or refuses: what two recipients could cut in two ways never gets past here.

import { connectionOptions, type FieldSection } from "./h1-fields.ts";
import {
  CHUNKED,
  type H1Body,
  type H1Problem,
  type H1Version,
  h1Problem,
  malformed,
  NO_BODY,
  TUNNEL,
  UNTIL_CLOSE,
} from "./h1-head.ts";
import type { RequestHead } from "./message.ts";

/** What Connection says. */
export interface ConnectionFacts {
  readonly kind: "connection";
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  /** Names of fields that are of this hop only, and options. */
  readonly options: readonly string[];
}

const PERSISTENT: ConnectionFacts = factsOf(true, []);
const CLOSING: ConnectionFacts = factsOf(false, []);
const NO_OPTIONS = { "1.1": PERSISTENT, "1.0": CLOSING } as const;

/** Reads Connection; the two ordinary values cost nothing. */
export function readConnection(
  section: FieldSection,
  version: H1Version,
): ConnectionFacts | H1Problem {
  const { connection } = section;
  if (connection === undefined) return NO_OPTIONS[version];
  if (connection === "close") return CLOSING;
  if (connection === "keep-alive") return PERSISTENT;
  const options = connectionOptions(connection);
  if ("kind" in options) return options;
  const keepAlive = version === "1.1" || options.includes("keep-alive");
  return factsOf(keepAlive && !options.includes("close"), options);
}

function factsOf(keepAlive: boolean, options: readonly string[]): ConnectionFacts {
  return { kind: "connection", keepAlive, upgrade: options.includes("upgrade"), options };
}

/** RFC 9112 §6.3 for requests: without framing fields there is no body. */
export function requestBody(
  section: FieldSection,
  version: H1Version,
  method: string,
): H1Body | H1Problem {
  const stated = statedBody(section, version);
  if (stated === undefined) return NO_BODY;
  if (method === "CONNECT" && stated.kind !== "problem") return malformed("a body of CONNECT");
  return stated;
}

/** What is known of a request when its response is read. */
export type AskedBy = Pick<RequestHead, "method" | "upgrade">;

/** RFC 9112 §6.3 for responses. */
export function responseBody(
  section: FieldSection,
  version: H1Version,
  status: number,
  asked: AskedBy,
): H1Body | H1Problem {
  if (status === 101) {
    return asked.upgrade === undefined || section.upgrade === undefined
      ? malformed("a switch that nobody asked for, or to nothing")
      : TUNNEL;
  }
  if (status < 200 || status === 204) return NO_BODY;
  const stated = statedBody(section, version);
  if (stated?.kind === "problem") return stated;
  if (asked.method === "CONNECT" && status < 300) return TUNNEL;
  if (asked.method === "HEAD" || status === 304) {
    return stated?.kind === "length" ? { kind: "none", statedBytes: stated.lengthBytes } : NO_BODY;
  }
  return stated ?? UNTIL_CLOSE;
}

/** What Content-Length or Transfer-Encoding say; both at once are refused, never repaired. */
function statedBody(section: FieldSection, version: H1Version): H1Body | H1Problem | undefined {
  const { contentLength, transferEncoding } = section;
  if (transferEncoding !== undefined) {
    if (contentLength !== undefined) {
      return malformed("both Content-Length and Transfer-Encoding");
    }
    if (version === "1.0") return malformed("Transfer-Encoding in HTTP/1.0");
    if (transferEncoding !== "chunked" && transferEncoding.toLowerCase() !== "chunked") {
      return malformed('a Transfer-Encoding other than "chunked"');
    }
    return CHUNKED;
  }
  return contentLength === undefined ? undefined : lengthBody(contentLength);
}

function lengthBody(text: string): H1Body | H1Problem {
  let lengthBytes = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return malformed("a Content-Length that is no number");
    lengthBytes = lengthBytes * 10 + digit;
  }
  if (text === "") return malformed("an empty Content-Length");
  if (lengthBytes > Number.MAX_SAFE_INTEGER) {
    return h1Problem(413, "a Content-Length beyond what can be counted");
  }
  return { kind: "length", lengthBytes };
}

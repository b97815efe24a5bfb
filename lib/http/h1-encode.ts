// Writes heads and chunk framing of HTTP/1.1 (RFC 9112). What is written is latin1 text: one write
// into a socket's buffer. Values come from a parser or from checked configuration: no CR, LF, NUL.

import { type H1Body, NO_BODY } from "./h1-head.ts";
import { reasonOf } from "./h1-reason.ts";
import type { FieldLines, RequestHead, ResponseHead } from "./message.ts";

/** How the message that follows is framed; its fields hold nothing of that. */
export interface RequestFraming {
  readonly body: H1Body;
  /** Send `Expect: 100-continue`. */
  readonly expectContinue: boolean;
}

export interface ResponseFraming {
  readonly body: H1Body;
  /** False says that the connection closes after this response. */
  readonly keepAlive: boolean;
  /** Of the request. A client of HTTP/1.0 is told that its connection stays. */
  readonly version: "1.0" | "1.1";
}

/** Ends the data of each chunk. */
export const CHUNK_END = "\r\n";
const HEAD_END = "\r\n";

/** The head as an HTTP/1.1 request, in origin-form but for CONNECT. Host comes first. */
export function encodeRequestHead(head: RequestHead, framing: RequestFraming): string {
  const { method, authority, path, upgrade } = head;
  let text = `${method} ${method === "CONNECT" ? authority : path} HTTP/1.1\r\nhost: ${authority}`;
  text = `${text}\r\n${encodeFields(head.fields)}`;
  if (framing.expectContinue) text += "expect: 100-continue\r\n";
  if (upgrade !== undefined) text += switchFields(upgrade);
  return text + framingFields(framing.body);
}

/**
 * The head as an HTTP/1.1 response. Pass an interim one (1xx) as it came, with its own body; one
 * whose body lasts until close says so, whatever `keepAlive` is.
 * @param upgrade the protocol of a 101
 */
export function encodeResponseHead(
  head: ResponseHead & { readonly upgrade?: string },
  framing: ResponseFraming,
): string {
  let text = formatStatusLine(head.status) + encodeFields(head.fields);
  const { body, version } = framing;
  if (head.status < 200) {
    return text + (head.upgrade === undefined ? "" : switchFields(head.upgrade)) + HEAD_END;
  }
  if (body.kind === "tunnel") return text + HEAD_END;
  if (!framing.keepAlive || body.kind === "until-close") text += "connection: close\r\n";
  else if (version === "1.0") text += "connection: keep-alive\r\n";
  return text + framingFields(body);
}

/** With its CRLF. Reasons are those of the registry; a status without one has an empty one. */
export function formatStatusLine(status: number): string {
  return status === 200 ? "HTTP/1.1 200 OK\r\n" : `HTTP/1.1 ${status} ${reasonOf(status)}\r\n`;
}

/** Goes before the data of a chunk. `lengthBytes` is not 0: that would end the body. */
export function chunkHeader(lengthBytes: number): string {
  return `${lengthBytes.toString(16)}\r\n`;
}

/** Ends a chunked body. */
export function encodeLastChunk(trailers: FieldLines): string {
  return `0\r\n${encodeFields(trailers)}\r\n`;
}

/** A response of the proxy's own. */
export interface OwnResponse {
  readonly status: number;
  /** ASCII, and told to the client: nothing secret. */
  readonly text: string;
  readonly fields: FieldLines;
}

/**
 * A whole response. The body of an answer to HEAD is left out, its length is not.
 * @param request what is answered; undefined if it could not be read, and then the connection ends
 */
export function encodeOwnResponse(
  { status, text, fields }: OwnResponse,
  request:
    | { readonly method: string; readonly keepAlive: boolean; readonly version: "1.0" | "1.1" }
    | undefined,
): string {
  const body: H1Body = status === 204 ? NO_BODY : { kind: "length", lengthBytes: text.length };
  const { keepAlive, version, method } = request ?? UNREADABLE;
  const typed = text === "" ? fields : [...fields, "content-type", "text/plain"];
  const head = encodeResponseHead({ status, fields: typed }, { body, keepAlive, version });
  return method === "HEAD" ? head : head + text;
}

const UNREADABLE = { method: "GET", keepAlive: false, version: "1.1" } as const;

function encodeFields(fields: FieldLines): string {
  let text = "";
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

function switchFields(upgrade: string): string {
  return `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
}

/** With the empty line that ends the head. */
function framingFields(body: H1Body): string {
  switch (body.kind) {
    case "length":
      return `content-length: ${body.lengthBytes}\r\n\r\n`;
    case "chunked":
      return "transfer-encoding: chunked\r\n\r\n";
    case "none":
      return body.statedBytes === undefined
        ? HEAD_END
        : `content-length: ${body.statedBytes}\r\n\r\n`;
    case "until-close":
    case "tunnel":
      return HEAD_END;
    default:
      return body satisfies never;
  }
}

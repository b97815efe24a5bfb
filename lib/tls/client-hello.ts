// The ClientHello of TLS 1.0–1.3 (RFC 8446 §4.1.2, §5.1; server_name: RFC 6066 §3).
// A connection begins with records: type, version, length, fragment. The fragments of handshake
// records, joined, are messages: type, 24-bit length, body. The first one is the hello. Every later
// version keeps this form, with the real version in an extension.

/** What the first bytes of a connection are. */
export type HelloRead =
  | { readonly kind: "hello"; readonly hello: ClientHello }
  /** All fits so far, and more is to come. */
  | { readonly kind: "more" }
  /** No hello begins like this. */
  | { readonly kind: "no-hello"; readonly why: string };

export interface ClientHello {
  /** Lower-case, without a trailing dot; undefined when the client names none. */
  readonly serverName: string | undefined;
}

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_RECORD = 22;
const MAJOR_VERSION = 3;
const MOST_RECORD_BYTES = 16_384;
const MESSAGE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;
const VERSION_AND_RANDOM_BYTES = 34;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const LONGEST_NAME = 255;
/** What occurs in host names; `_` in those of services. */
const HOST_NAME_TEXT = /^[\w-]+(\.[\w-]+)*\.?$/;

const MORE: HelloRead = { kind: "more" };

/** Reads the hello that a connection begins with. Never throws; keeps nothing of `bytes`. */
export function readClientHello(bytes: Uint8Array): HelloRead {
  const joined = joinFragments(bytes);
  if (typeof joined === "string") return noHello(joined);
  const [type = CLIENT_HELLO] = joined.fragments;
  if (type !== CLIENT_HELLO) return noHello(`handshake message ${type}`);
  if (joined.fragments.length < joined.messageBytes) return MORE;
  const body = joined.fragments.subarray(MESSAGE_HEADER_BYTES, joined.messageBytes);
  const hello = readBody(new Fields(body));
  return typeof hello === "string" ? noHello(hello) : { kind: "hello", hello };
}

interface Joined {
  readonly fragments: Uint8Array;
  /** Of the whole first message; infinite until its header is there. */
  readonly messageBytes: number;
}

/** Joins fragments until the first message is whole or the bytes end; text is why they are none. */
function joinFragments(bytes: Uint8Array): Joined | string {
  const fragments = new Uint8Array(bytes.length);
  let length = 0;
  let messageBytes = Number.POSITIVE_INFINITY;
  for (let at = 0; at < bytes.length && length < messageBytes; ) {
    const [type, major, , high, low] = bytes.subarray(at, at + RECORD_HEADER_BYTES);
    if (type !== HANDSHAKE_RECORD) return `record type ${type}`;
    if (major !== undefined && major !== MAJOR_VERSION) return `record version ${major}`;
    if (high === undefined || low === undefined) break;
    const recordBytes = (high << 8) | low;
    if (recordBytes === 0 || recordBytes > MOST_RECORD_BYTES)
      return `record of ${recordBytes} bytes`;
    const start = at + RECORD_HEADER_BYTES;
    const fragment = bytes.subarray(start, start + recordBytes);
    fragments.set(fragment, length);
    length += fragment.length;
    at = start + recordBytes;
    if (length < MESSAGE_HEADER_BYTES) continue;
    const [, size0 = 0, size1 = 0, size2 = 0] = fragments;
    messageBytes = MESSAGE_HEADER_BYTES + ((size0 << 16) | (size1 << 8) | size2);
  }
  return { fragments: fragments.subarray(0, length), messageBytes };
}

/** @returns text when it is no hello */
function readBody(body: Fields): ClientHello | string {
  body.skip(VERSION_AND_RANDOM_BYTES);
  const sessionId = body.vector(1);
  const cipherSuites = body.vector(2);
  const compressions = body.vector(1);
  if (compressions === undefined) return "cut short";
  if (sessionId === undefined || sessionId.left > 32) return "session id too long";
  if (cipherSuites === undefined || cipherSuites.left < 2) return "no cipher suite";
  if (compressions.left < 1) return "no compression method";
  // Hellos before TLS 1.2 may end here.
  if (body.left === 0) return { serverName: undefined };
  const extensions = body.vector(2);
  if (extensions === undefined || body.left > 0) return "extensions of a wrong length";
  return readExtensions(extensions);
}

function readExtensions(extensions: Fields): ClientHello | string {
  let serverName: string | undefined;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type === undefined || content === undefined) return "an extension cut short";
    if (type !== SERVER_NAME) continue;
    if (serverName !== undefined) return "two server names";
    serverName = readServerName(content);
    if (serverName === undefined) return "a malformed server name";
  }
  return { serverName };
}

/** The list may hold one name of each type, and only one type was ever defined. */
function readServerName(content: Fields): string | undefined {
  const list = content.vector(2);
  if (list === undefined || content.left > 0 || list.number(1) !== HOST_NAME) return undefined;
  const name = list.vector(2);
  if (name === undefined || list.left > 0 || name.left > LONGEST_NAME) return undefined;
  const text = name.text();
  return HOST_NAME_TEXT.test(text) ? text.toLowerCase().replace(/\.$/, "") : undefined;
}

/** Reads big-endian fields in order. One that is cut short is undefined, as are all after it. */
class Fields {
  #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length;
  }

  /** Skipping beyond the end leaves nothing to read. */
  skip(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
  }

  number(width: 1 | 2): number | undefined {
    const [first, second] = this.#bytes;
    this.skip(width);
    if (first === undefined || width === 1) return first;
    return second === undefined ? undefined : (first << 8) | second;
  }

  /** A length of `width` bytes, and so many bytes. */
  vector(width: 1 | 2): Fields | undefined {
    const length = this.number(width);
    if (length === undefined || length > this.left) {
      this.skip(this.left);
      return undefined;
    }
    const content = new Fields(this.#bytes.subarray(0, length));
    this.skip(length);
    return content;
  }

  text(): string {
    return String.fromCharCode(...this.#bytes);
  }
}

function noHello(why: string): HelloRead {
  return { kind: "no-hello", why };
}

// Reads the line before each chunk (RFC 9112 §7.1): a size in hexadecimal digits, then extensions,
// which are checked, bounded and forgotten. No blanks anywhere but in quotes, CRLF at the end.

import { type H1Problem, malformed } from "./h1-head.ts";
import { CR, HEX, LF, TEXT, TOKEN } from "./h1-syntax.ts";

type Place =
  | "size"
  | "line-end"
  | "name-start"
  | "name"
  | "value-start"
  | "value"
  | "quoted"
  | "escaped"
  | "after-quoted";

type Byte = "token" | ";" | "=" | '"' | "\\" | "text" | "cr";

/** Where each byte of an extension leads; one without an entry is a violation. */
const NEXT: Readonly<Record<Exclude<Place, "size" | "line-end">, Partial<Record<Byte, Place>>>> = {
  "name-start": { token: "name" },
  name: { token: "name", "=": "value-start", ";": "name-start", cr: "line-end" },
  "value-start": { token: "value", '"': "quoted" },
  value: { token: "value", ";": "name-start", cr: "line-end" },
  quoted: {
    token: "quoted",
    ";": "quoted",
    "=": "quoted",
    text: "quoted",
    '"': "after-quoted",
    "\\": "escaped",
  },
  escaped: {
    token: "quoted",
    ";": "quoted",
    "=": "quoted",
    text: "quoted",
    '"': "quoted",
    "\\": "quoted",
  },
  "after-quoted": { ";": "name-start", cr: "line-end" },
};

/** 2^52 and more leading zeros than anybody sends. */
const MAX_DIGITS = 16;
const SEMICOLON = 0x3b;

/** One line at a time, in pieces; extensions are counted over the whole message. */
export class ChunkLine {
  readonly #extensionBytes: number;
  #place: Place = "size";
  #sizeBytes = 0;
  #digits = 0;
  #extensionBytesRead = 0;
  #problem: H1Problem | undefined;

  /** @param extensionBytes that one message may have */
  constructor(extensionBytes: number) {
    this.#extensionBytes = extensionBytes;
  }

  /** Of the chunk that follows, once `take` has found the end of the line. 0 for the last one. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get problem(): H1Problem | undefined {
    return this.#problem;
  }

  /** Before each message. */
  startMessage(): void {
    this.#extensionBytesRead = 0;
  }

  /** @returns where the chunk's data begins; -1 when more must come, or there is a problem */
  take(bytes: Uint8Array, start: number, end: number): number {
    if (this.#place === "size" && this.#digits === 0) this.#sizeBytes = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0;
      if (this.#place === "line-end") {
        if (byte !== LF) return this.#refuse("a bare CR in a chunk line");
        this.#place = "size";
        this.#digits = 0;
        return i + 1;
      }
      if (this.#place !== "size") this.#extension(this.#place, byte);
      else this.#size(byte);
      if (this.#problem !== undefined) return -1;
    }
    return -1;
  }

  #size(byte: number): void {
    const digit = HEX[byte] ?? 255;
    if (digit < 16) {
      this.#sizeBytes = this.#sizeBytes * 16 + digit;
      this.#digits++;
      if (this.#digits > MAX_DIGITS || this.#sizeBytes > Number.MAX_SAFE_INTEGER) {
        this.#refuse("a chunk size beyond what can be counted");
      }
    } else if (this.#digits === 0 || (byte !== CR && byte !== SEMICOLON)) {
      this.#refuse("a chunk size that is no hexadecimal number");
    } else {
      this.#place = byte === CR ? "line-end" : "name-start";
    }
  }

  #extension(place: keyof typeof NEXT, byte: number): void {
    const next = NEXT[place][classOf(byte)];
    if (next === undefined || (TEXT[byte] === 0 && byte !== CR)) {
      this.#refuse("a malformed chunk extension");
    } else if (++this.#extensionBytesRead > this.#extensionBytes) {
      this.#refuse("chunk extensions that are too long");
    } else {
      this.#place = next;
    }
  }

  #refuse(why: string): -1 {
    this.#problem = malformed(why);
    return -1;
  }
}

function classOf(byte: number): Byte {
  if (TOKEN[byte] !== 0) return "token";
  if (byte === CR) return "cr";
  const char = String.fromCharCode(byte);
  return char === ";" || char === "=" || char === '"' || char === "\\" ? char : "text";
}

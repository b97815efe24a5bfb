// Writes of HTTP heads and small bodies, gathered: a head, its body and what else goes to one
// connection in one round of events become one system call. One buffer serves a whole worker.

import type { ByteStream } from "../../lib/reactor/byte-stream.ts";
import type { BufferOwner, OutputBuffer } from "../../lib/reactor/output-buffer.ts";

/** Size of the buffer. */
export const GATHERED_BYTES = 65_536;
/** From here on a write of its own costs less than a copy. */
const LARGE_BYTES = 16_384;

/** What is written to one connection. */
export class HttpOutput implements BufferOwner {
  readonly #buffer: OutputBuffer;
  readonly #stream: ByteStream;

  constructor(buffer: OutputBuffer, stream: ByteStream) {
    this.#buffer = buffer;
    this.#stream = stream;
  }

  /** Text of which each character is a byte. */
  text(text: string): void {
    const buffer = this.#buffer;
    buffer.take(this);
    if (buffer.lengthBytes + text.length > GATHERED_BYTES) this.flush();
    if (text.length > GATHERED_BYTES) {
      this.#stream.write(Buffer.from(text, "latin1"), 0, text.length);
    } else {
      buffer.lengthBytes += buffer.bytes.write(text, buffer.lengthBytes, "latin1");
    }
  }

  /** @returns false when the connection keeps some: write less until it is drained */
  write(bytes: Buffer, start: number, end: number): boolean {
    const buffer = this.#buffer;
    const lengthBytes = end - start;
    if (lengthBytes >= LARGE_BYTES) {
      this.flush();
      return this.#stream.write(bytes, start, end);
    }
    buffer.take(this);
    if (buffer.lengthBytes + lengthBytes > GATHERED_BYTES) this.flush();
    bytes.copy(buffer.bytes, buffer.lengthBytes, start, end);
    buffer.lengthBytes += lengthBytes;
    return this.#stream.queuedBytes === 0;
  }

  /** Sends what is gathered; before anything else is done to the connection. */
  flush(): void {
    const buffer = this.#buffer;
    if (!buffer.isOwner(this) || buffer.lengthBytes === 0) return;
    const { lengthBytes } = buffer;
    buffer.lengthBytes = 0;
    this.#stream.write(buffer.bytes, 0, lengthBytes);
  }

  /** FIN, after all that was written. */
  end(): void {
    this.flush();
    this.#stream.end();
  }
}

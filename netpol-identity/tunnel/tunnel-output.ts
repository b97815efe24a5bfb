// Frames on their way to the wire, gathered: those of one round of events leave as few TLS records
// and system calls as they fit into. One buffer serves a whole worker.

import type { ByteStream } from "../../lib/reactor/byte-stream.ts";
import type { BufferOwner, OutputBuffer } from "../../lib/reactor/output-buffer.ts";

/** Sixteen TLS records. */
export const GATHERED_BYTES = 262_144;

/** What is written to one connection. */
export class TunnelOutput implements BufferOwner {
  readonly #buffer: OutputBuffer;
  readonly #stream: ByteStream;
  readonly #onWritten: (isClear: boolean) => void;

  /** @param onWritten after each write: whether all left at once, as of `ByteStream.write` */
  constructor(buffer: OutputBuffer, stream: ByteStream, onWritten: (isClear: boolean) => void) {
    this.#buffer = buffer;
    this.#stream = stream;
    this.#onWritten = onWritten;
  }

  write(bytes: Buffer, start: number, end: number): void {
    const buffer = this.#buffer;
    let at = start;
    while (at < end) {
      buffer.take(this);
      const next = Math.min(end, at + GATHERED_BYTES - buffer.lengthBytes);
      bytes.copy(buffer.bytes, buffer.lengthBytes, at, next);
      buffer.lengthBytes += next - at;
      at = next;
      if (buffer.lengthBytes === GATHERED_BYTES) this.flush();
    }
  }

  /** Sends what is gathered; before anything else is done to the connection. */
  flush(): void {
    const buffer = this.#buffer;
    if (!buffer.isOwner(this) || buffer.lengthBytes === 0) return;
    const { lengthBytes } = buffer;
    buffer.lengthBytes = 0;
    this.#onWritten(this.#stream.write(buffer.bytes, 0, lengthBytes));
  }
}

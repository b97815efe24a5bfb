// gRPC's framing of messages (a flag byte, four bytes of length, the message). The messages of
// these tests are JSON: proxies do not read them.

const PREFIX_BYTES = 5;

export function encodeMessage(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/** Takes messages out of a stream of bytes. */
export class MessageReader {
  #rest = Buffer.alloc(0);

  /** @returns the messages that are whole now, parsed */
  read(bytes: Buffer): readonly unknown[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const messages: unknown[] = [];
    while (this.#rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + this.#rest.readUInt32BE(1);
      if (this.#rest.length < end) break;
      messages.push(JSON.parse(this.#rest.toString("utf8", PREFIX_BYTES, end)));
      this.#rest = this.#rest.subarray(end);
    }
    return messages;
  }
}

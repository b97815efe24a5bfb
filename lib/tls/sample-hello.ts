// A ClientHello for tests, whole or wrong in one place.

export interface SampleHello {
  readonly name?: string;
  /** How often the extension occurs. @default 1 */
  readonly times?: number;
  /** @default 0, a host name */
  readonly nameType?: number;
  /** Bytes too many behind the name, within its extension. @default 0 */
  readonly afterName?: number;
  /** Bytes too many at the end of the message. @default 0 */
  readonly afterExtensions?: number;
  /** `none`: an old hello without that part. */
  readonly extensions?: "none";
  /** The message is cut into records of so many bytes. @default one record */
  readonly recordBytes?: number;
}

export function sampleHello(sample: SampleHello): Buffer {
  const { name, times = 1, nameType = 0, afterName = 0, afterExtensions = 0 } = sample;
  const serverName = Buffer.concat([
    vector(2, Buffer.concat([Buffer.of(nameType), vector(2, Buffer.from(name ?? "", "latin1"))])),
    Buffer.alloc(afterName),
  ]);
  const extension = Buffer.concat([Buffer.of(0, 0), vector(2, serverName)]);
  const padding = Buffer.concat([Buffer.of(0, 21), vector(2, Buffer.alloc(7))]);
  const names = Array.from({ length: name === undefined ? 0 : times }, () => extension);
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 8)),
    vector(2, Buffer.of(0x13, 1, 0x13, 2)),
    vector(1, Buffer.of(0)),
    ...(sample.extensions === "none" ? [] : [vector(2, Buffer.concat([padding, ...names]))]),
    Buffer.alloc(afterExtensions),
  ]);
  const message = Buffer.concat([Buffer.of(1, 0), vector(2, body)]);
  return records(message, sample.recordBytes ?? message.length);
}

function records(message: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}

function vector(width: 1 | 2, content: Buffer): Buffer {
  const length = Buffer.alloc(width);
  length.writeUIntBE(content.length, 0, width);
  return Buffer.concat([length, content]);
}

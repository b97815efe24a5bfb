// Frames of HTTP/2: their numbers and their nine-byte heads (RFC 9113 §4, §6, §7).

export const FRAME_HEAD_BYTES = 9;
/** What SETTINGS_MAX_FRAME_SIZE is when nobody raises it, and the least it may be. */
export const MAX_FRAME_BYTES = 16_384;
export const MAX_STREAM_ID = 0x7fff_ffff;
export const MAX_WINDOW_BYTES = 0x7fff_ffff;
/** Window of a connection, and of a stream until SETTINGS say else. */
export const INITIAL_WINDOW_BYTES = 65_535;
/** What a client sends first. */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

/** Error codes of RST_STREAM and GOAWAY. Peers may send others. */
export const H2_ERROR = {
  noError: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  connect: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

/** Why a connection ended at our side. */
export interface H2Problem {
  readonly code: number;
  /** Never holds bytes of the peer. */
  readonly why: string;
}

/** Writes the head of a frame at `at`. */
export function writeFrameHead(
  bytes: Buffer,
  at: number,
  head: {
    readonly type: number;
    readonly flags: number;
    readonly streamId: number;
    readonly lengthBytes: number;
  },
): void {
  const { lengthBytes, streamId } = head;
  bytes[at] = lengthBytes >>> 16;
  bytes[at + 1] = lengthBytes >>> 8;
  bytes[at + 2] = lengthBytes;
  bytes[at + 3] = head.type;
  bytes[at + 4] = head.flags;
  writeUint32(bytes, at + 5, streamId);
}

export function writeUint32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Reads 32 bits, unsigned. */
export function readUint32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] ?? 0) * 0x1000000 +
      (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0))) >>>
    0
  );
}

/** Reads 31 bits: the first one is reserved and means nothing. */
export function readUint31(bytes: Buffer, at: number): number {
  return readUint32(bytes, at) & 0x7fff_ffff;
}

// One stream: what its peer may still send, and the windows of both ways (RFC 9113 §5).

/** What may arrive next: a head (1xx heads before it), data and trailers, or nothing. */
export type ReceivePhase = "head" | "body" | "over";

/** `unknown` where no content-length was told. */
export type BodyLength = number | "unknown";

/** How much a peer may send, and when to tell it that it may send more (§6.9). */
export class H2ReceiveWindow {
  readonly #sizeBytes: number;
  #availableBytes: number;
  #consumedBytes = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#availableBytes = sizeBytes;
  }

  /** The peer sent so much. @returns false when it was not allowed to */
  take(lengthBytes: number): boolean {
    if (lengthBytes > this.#availableBytes) return false;
    this.#availableBytes -= lengthBytes;
    return true;
  }

  /**
   * So much has been dealt with.
   * @returns the increment to announce: 0, or half a window at least
   */
  give(lengthBytes: number): number {
    this.#consumedBytes += lengthBytes;
    if (this.#consumedBytes * 2 < this.#sizeBytes) return 0;
    const increment = this.#consumedBytes;
    this.#availableBytes += increment;
    this.#consumedBytes = 0;
    return increment;
  }
}

/** The connection keeps it; commands and frames move it on. */
export class H2Stream {
  readonly id: number;
  readonly receiveWindow: H2ReceiveWindow;
  /** May be negative after SETTINGS (§6.9.2). */
  sendWindowBytes: number;
  receiving: ReceivePhase;
  sending: "open" | "over" = "open";
  /** Nothing is told of a stream that was reset, not even the rest of a frame. */
  wasReset = false;
  /** Method of our request: the answer to it may have no body. */
  readonly method: string;
  #leftBytes: BodyLength = "unknown";

  constructor(
    id: number,
    windows: { readonly receiveBytes: number; readonly sendBytes: number },
    start: { readonly receiving: ReceivePhase; readonly method: string },
  ) {
    this.id = id;
    this.receiveWindow = new H2ReceiveWindow(windows.receiveBytes);
    this.sendWindowBytes = windows.sendBytes;
    this.receiving = start.receiving;
    this.method = start.method;
  }

  /**
   * A head told the length of what follows.
   * @returns false when the message ends here without it
   */
  expectBody(length: BodyLength, endStream: boolean): boolean {
    this.#leftBytes = length;
    this.receiving = endStream ? "over" : "body";
    return !endStream || length === "unknown" || length === 0;
  }

  /**
   * Data, or with `endStream` the last of it, began.
   * @returns false when that is not as was told
   */
  takeBody(lengthBytes: number, endStream: boolean): boolean {
    if (this.#leftBytes === "unknown") return true;
    this.#leftBytes -= lengthBytes;
    return this.#leftBytes >= 0 && (!endStream || this.#leftBytes === 0);
  }
}

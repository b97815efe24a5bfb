// How much of an HTTP/1.1 peer's input is borne before it is refused.

/** Bounds of one connection's messages. Byte counts exclude the line ends of single lines. */
export interface H1Limits {
  /** Request line or status line; beyond it 414. */
  readonly startLineBytes: number;
  /** Beyond it 501: no method that anybody implements is as long. */
  readonly methodBytes: number;
  /** One field line; beyond it 431. */
  readonly fieldLineBytes: number;
  /** A whole head with its line ends; beyond it 431. */
  readonly headBytes: number;
  /** Field lines of a head, and of a trailer section; beyond it 431. */
  readonly fieldLines: number;
  /** A whole trailer section; beyond it 431. */
  readonly trailerBytes: number;
  /** All chunk extensions of one message: they are read and thrown away. Beyond it 400. */
  readonly chunkExtensionBytes: number;
  /** 1xx heads before a final one. */
  readonly interimResponses: number;
  /** Backends with CGI manners take `a_b` for `a-b`: an edge refuses such names. */
  readonly underscoreNames: "keep" | "refuse";
}

export const DEFAULT_H1_LIMITS: H1Limits = {
  startLineBytes: 8 * 1024,
  methodBytes: 32,
  fieldLineBytes: 32 * 1024,
  headBytes: 64 * 1024,
  fieldLines: 128,
  trailerBytes: 8 * 1024,
  chunkExtensionBytes: 4 * 1024,
  interimResponses: 16,
  underscoreNames: "keep",
};

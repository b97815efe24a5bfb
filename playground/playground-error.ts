// What can go wrong in the world around a playground.

export type PlaygroundErrorCode =
  /** A program the playground runs (ip, nft, nsenter) is missing or failed. */
  | "command-failed"
  /** A living process owns a playground of this name. */
  | "prefix-in-use"
  /** Every subnet for links to the root namespace is taken. */
  | "no-free-subnet"
  /** A helper process ended or fell silent while somebody waited for its answer. */
  | "helper-failed";

export class PlaygroundError extends Error {
  readonly code: PlaygroundErrorCode;

  constructor(code: PlaygroundErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PlaygroundError";
    this.code = code;
  }
}

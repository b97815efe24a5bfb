// How a run as a whole can fail; failed claims are results, not errors of this kind.

export type ConformanceErrorCode =
  /** The caller asked for something impossible: exit code 2. */
  | "usage"
  /** The API server, the image or an agent could not be reached: exit code 3. */
  | "unreachable";

export class ConformanceError extends Error {
  override readonly name = "ConformanceError";
  readonly code: ConformanceErrorCode;

  constructor(code: ConformanceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

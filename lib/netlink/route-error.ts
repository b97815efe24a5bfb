// How rtnetlink fails.

/** rtnetlink refused, or could not be asked. `code` is the errno name, as in `EPERM`. */
export class RouteError extends Error {
  override readonly name = "RouteError";
  readonly code: string;

  constructor(action: string, code: string, cause?: unknown) {
    super(`Cannot ${action}: kernel returned ${code}`, { cause });
    this.code = code;
  }
}

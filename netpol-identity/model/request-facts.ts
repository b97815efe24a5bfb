// What rules about requests look at, of an HTTP request in the form in which it is forwarded.

export interface RequestFacts {
  readonly method: string;
  /** Without its query; normalised. */
  readonly path: string;
  /** Lower-case, without a port. */
  readonly host: string;
  /** @param name lower-case */
  header(name: string): string | undefined;
  /**
   * Asked after its verdict: if that allows, the same request is judged in another reading.
   * @default never
   */
  isReadAgain?(): boolean;
}

// What a listener on a link is asked, and what it heard.

/** Two addresses of IPv4 and a word that may not be read on the way between them. */
export interface WireQuestion {
  readonly ends: readonly [string, string];
  readonly word: string;
  /** Of a protocol that may carry the word, since it hides it. */
  readonly port: number;
}

/** Frames between the two ends, in both directions. */
export interface WireReport {
  readonly frames: number;
  /** TCP, to the port or from it. */
  readonly ofPort: number;
  /** Of all frames of the link, whoever they are between. */
  readonly holdingWord: number;
}

/** Calls that `wire-process.ts` takes on standard input. */
export interface WireCalls {
  readonly listen: { readonly request: object; readonly reply: null };
  /** Ends listening. */
  readonly heard: { readonly request: WireQuestion; readonly reply: WireReport };
}

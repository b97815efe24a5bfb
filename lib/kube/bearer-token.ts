// Where the bearer token comes from. Projected ServiceAccount tokens are replaced on disk about
// once an hour; whoever reads them once is locked out a day later.

import { readFile } from "node:fs/promises";
import type { Clock } from "../clock/clock.ts";

export type TokenConfig =
  | { readonly kind: "none" }
  | { readonly kind: "static"; readonly token: string }
  | { readonly kind: "file"; readonly path: string };

export interface BearerToken {
  /** The token to send now; undefined when there is none. Never rejects. */
  current(): Promise<string | undefined>;
  /** Reads the file again after the server refused the token; says whether it changed. */
  refresh(): Promise<boolean>;
}

/** A token file is read at most this often, unless the server says 401. */
export const TOKEN_REREAD_MS = 60_000;

export function makeBearerToken(config: TokenConfig, clock: Clock): BearerToken {
  if (config.kind !== "file") {
    const token = config.kind === "static" ? config.token : undefined;
    return { current: () => Promise.resolve(token), refresh: () => Promise.resolve(false) };
  }
  let token: string | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<boolean> | undefined;
  const readOnce = async (): Promise<boolean> => {
    const before = token;
    try {
      token = (await readFile(config.path, "utf8")).trim();
    } catch {
      // Keep the last token: the file is missing for a moment while it is replaced, and if it
      // stays missing, the server's 401 says so to whoever asked.
    }
    readAtMs = clock.monotonicMs();
    reading = undefined;
    return token !== before;
  };
  // Shared: whoever asks while the file is first read must not go without a token.
  const read = (): Promise<boolean> => (reading ??= readOnce());
  return {
    async current() {
      if (clock.monotonicMs() - readAtMs >= TOKEN_REREAD_MS) await read();
      return token;
    },
    refresh: read,
  };
}

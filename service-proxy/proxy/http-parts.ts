// What every HTTP connection of a worker uses.

import type { JudgedRequest } from "./guarded-http-requests.ts";
import type { MirrorLimit } from "./http-mirror.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import type { RelayParts } from "./relay-parts.ts";
import type { UpstreamPools } from "./upstream-pool.ts";

/**
 * Hears of each request of a pod that has an endpoint, in the form in which that gets it.
 * @param endpoint `address:port`
 */
export type OnRequest = (
  client: string,
  endpoint: string,
  request: Pick<JudgedRequest, "method" | "path" | "host">,
) => void;

export interface HttpParts extends RelayParts {
  readonly pools: UpstreamPools;
  readonly output: OutputBuffer;
  readonly mirrors: MirrorLimit;
  /** Forwarded messages tell of this hop. */
  readonly via: boolean;
  /** Undefined: nobody wants to know. */
  readonly onRequest: OnRequest | undefined;
}

// What every HTTP connection of a worker uses.

import type { MirrorLimit } from "./http-mirror.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import type { RelayParts } from "./relay-parts.ts";
import type { UpstreamPools } from "./upstream-pool.ts";

export interface HttpParts extends RelayParts {
  readonly pools: UpstreamPools;
  readonly output: OutputBuffer;
  readonly mirrors: MirrorLimit;
  /** Forwarded messages tell of this hop. */
  readonly via: boolean;
}

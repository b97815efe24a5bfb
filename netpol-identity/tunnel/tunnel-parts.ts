// What both ends of tunnels use, and the question they ask about each connection.

import type { Address } from "../../lib/ip/address.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import type { TunnelSecurity } from "./tunnel-security.ts";
import type { TunnelTables } from "./tunnel-tables.ts";
import type { TunnelRecord, TunnelTelemetry } from "./tunnel-telemetry.ts";

/** Somebody who is known connects to an enrolled pod of this node. */
export interface TunnelFlow {
  readonly source: SpiffeUri;
  readonly client: Address;
  readonly destination: SpiffeUri;
  readonly target: SocketAddress;
}

export type FlowVerdict =
  | { readonly kind: "allow" }
  | { readonly kind: "deny"; readonly rule: string };

export type Authorize = (flow: TunnelFlow) => FlowVerdict;

export interface TunnelParts {
  readonly reactor: Reactor;
  /** Connects without a tunnel. */
  readonly inner: Dialer;
  readonly tables: TunnelTables;
  readonly security: TunnelSecurity;
  readonly frames: OutputBuffer;
  readonly telemetry: TunnelTelemetry;
  readonly authorize: Authorize;
  readonly onFinished: (record: TunnelRecord) => void;
  readonly wallMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

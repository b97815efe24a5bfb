// What both ends of tunnels use, and the question they ask about each connection.

import type { Address } from "../../lib/ip/address.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import type { Inspect, JudgeRequest } from "./inspection.ts";
import type { TunnelSecurity } from "./tunnel-security.ts";
import type { TunnelTables } from "./tunnel-tables.ts";
import type { TunnelRecord, TunnelTelemetry } from "./tunnel-telemetry.ts";

/** A connection that an enrolled pod of this node makes or gets. */
export interface TunnelFlow {
  /** Proven by a certificate or, of a pod of this node, by its interface. */
  readonly source: SpiffeUri;
  readonly client: Address;
  /** Undefined where nothing proves who answers. */
  readonly destination?: SpiffeUri;
  readonly target: SocketAddress;
  /** Which of the two are enrolled pods of this node: each end is judged at its own node. */
  readonly here: "client" | "target" | "both";
}

export type FlowVerdict =
  | { readonly kind: "allow" }
  | { readonly kind: "deny"; readonly rule: string }
  /** Each HTTP request has to be judged; what carries none is refused. */
  | {
      readonly kind: "inspect";
      readonly rule: string;
      readonly judge: JudgeRequest;
    };

/**
 * A connection begins, or it is only asked what holds: before one is made, and of those that go on
 * when policies have changed.
 */
export type Occasion = "begins" | "asked";

export type Authorize = (flow: TunnelFlow, occasion: Occasion) => FlowVerdict;

export interface TunnelParts {
  readonly reactor: Reactor;
  /** Connects without a tunnel. */
  readonly inner: Dialer;
  /** An address of this node itself: only its own processes connect from there. */
  readonly isHost: (address: Address) => boolean;
  readonly tables: TunnelTables;
  readonly security: TunnelSecurity;
  readonly frames: OutputBuffer;
  readonly telemetry: TunnelTelemetry;
  readonly authorize: Authorize;
  readonly inspect: Inspect;
  readonly onFinished: (record: TunnelRecord) => void;
  readonly wallMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

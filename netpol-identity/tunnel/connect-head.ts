// CONNECT requests of a tunnel, out and in, as ambient writes and reads them (RFC 9113 §8.5).
// What the tunnel says about a client beside its certificate is for logs: nothing is decided by it.

import type { H2RequestHead } from "../../lib/http/h2-head.ts";
import { fieldValue, type RequestHead } from "../../lib/http/message.ts";
import { type Address, isReservedAddress, parseAddress } from "../../lib/ip/address.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { TunnelWorkload } from "../model/tunnel-plan.ts";

/** Of the mesh itself, which a tunnel would turn back on: ambient's and ours. */
const MESH_PORTS = { first: 15_001, last: 15_008 } as const;

/** Who connects: a pod, or a process of the node itself. */
export interface ConnectClient {
  readonly address: Address;
  readonly workload: TunnelWorkload;
}

/** @param traceparent as W3C Trace Context §3.2 has it */
export function connectHead(
  target: SocketAddress,
  { address, workload }: ConnectClient,
  traceparent: string,
): RequestHead {
  const baggage = `k8s.namespace.name=${workload.namespace},k8s.pod.name=${workload.pod}`;
  return {
    method: "CONNECT",
    authority: formatAuthority(target),
    path: "",
    fields: [
      "baggage",
      baggage,
      "forwarded",
      address.includes(":") ? `for="[${address}]"` : `for=${address}`,
      "traceparent",
      traceparent,
    ],
  };
}

export type ConnectVerdict =
  | { readonly kind: "allowed"; readonly target: SocketAddress; readonly traceparent?: string }
  | { readonly kind: "refused"; readonly status: 400 | 403; readonly why: ConnectRefusal };

export type ConnectRefusal = "not-connect" | "bad-authority" | "other-pod" | "reserved-port";

/**
 * What a peer may ask of the connection to one pod: a port of that very pod.
 * @param dialled the pod's address, which the connection came to
 */
export function judgeConnect(
  { method, authority, fields }: Pick<H2RequestHead, "method" | "authority" | "fields">,
  dialled: Address,
): ConnectVerdict {
  if (method !== "CONNECT") return refuse(400, "not-connect");
  const target = parseAuthority(authority);
  if (target === undefined) return refuse(400, "bad-authority");
  if (target.address !== dialled) return refuse(400, "other-pod");
  const { port } = target;
  if (port >= MESH_PORTS.first && port <= MESH_PORTS.last) return refuse(403, "reserved-port");
  const traceparent = fieldValue(fields, "traceparent");
  if (traceparent === undefined || !TRACEPARENT.test(traceparent)) {
    return { kind: "allowed", target };
  }
  return { kind: "allowed", target, traceparent };
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Starts a trace. @param random in [0, 1) */
export function startTrace(random: () => number): string {
  const word = (): string =>
    Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  // The last bits keep it from being all zeros, which means none.
  return `00-${word()}${word()}${word()}${word().slice(1)}1-${word()}${word().slice(1)}1-01`;
}

export function formatAuthority({ address, port }: SocketAddress): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** An address that a pod can have, in its one spelling, and a port. */
function parseAuthority(authority: string): SocketAddress | undefined {
  const [, v6, v4, digits = ""] =
    /^(?:\[([0-9a-f:]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/.exec(authority) ?? [];
  const address = parseAddress(v6 ?? v4);
  const port = Number(digits);
  if (address === undefined || port > 65_535 || isReservedAddress(address)) return undefined;
  const target = { address, port };
  return formatAuthority(target) === authority ? target : undefined;
}

function refuse(status: 400 | 403, why: ConnectRefusal): ConnectVerdict {
  return { kind: "refused", status, why };
}

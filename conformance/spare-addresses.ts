// Addresses that no cluster routes, for external IPs and load balancer VIPs: documentation ranges
// (RFC 5737, RFC 3849). Each case takes one of its own, since cases may run side by side.

import type { Address, AddressFamily } from "../lib/ip/address.ts";

const lastByte = {
  "external-ip": 71,
  "load-balancer-vip": 72,
  "load-balancer-source-ranges": 73,
} as const;

/** The address that belongs to a case. */
export function spareAddress(caseId: keyof typeof lastByte, family: AddressFamily): Address {
  const byte = lastByte[caseId];
  return family === "ip" ? `198.51.100.${byte}` : `2001:db8:51:100::${byte}`;
}

/** A loadBalancerClass that no controller claims: the case itself writes the status. */
export const foreignClass = "conformance.innermesh.io/none";

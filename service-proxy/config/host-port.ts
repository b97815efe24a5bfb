// Where a server listens: a literal address and a port, in Go's text form `host:port`.

import { type Address, parseAddress } from "../../lib/ip/address.ts";

export interface HostPort {
  readonly host: Address;
  /** 1–65535; tests may use 0 for a free port. */
  readonly port: number;
}

/** `port` is missing when the text names only an address. */
export interface PartialHostPort {
  readonly host: Address;
  readonly port?: number;
}

/**
 * Reads `1.2.3.4:80`, `[::1]:80`, `1.2.3.4` or `::1`.
 * @returns undefined when the address is no literal address or the port not 1–65535
 */
export function parseHostPort(text: string): PartialHostPort | undefined {
  const bare = parseAddress(text);
  if (bare !== undefined) return { host: bare };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, v6, v4, digits] = match;
  const host = parseAddress(v6 ?? v4);
  const port = Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

/** `1.2.3.4:80` or `[::1]:80`. */
export function formatHostPort(address: HostPort): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

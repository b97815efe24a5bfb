// What an echo server says to whoever calls, and what its parent says to it.

import { type Address, parseAddress } from "../lib/ip/address.ts";

/** Whom an answer comes from and whom the server saw, as JSON over TCP, UDP and HTTP alike. */
export interface EchoReply {
  readonly pod: string;
  readonly node: string;
  /** The caller's address as the server saw it: shows whether it was masqueraded. */
  readonly client: Address;
  readonly clientPort: number;
  /** `address:port` or `[address]:port` that the call arrived at. */
  readonly local: string;
}

/** Ports to listen on; 0 picks a free one. */
export interface EchoPorts {
  /** GET of any path answers the reply as JSON. */
  readonly http: readonly number[];
  /** One line of JSON on connect, then every byte comes back. */
  readonly tcp: readonly number[];
  /** Each datagram is answered with the reply. */
  readonly udp: readonly number[];
}

/** Who an echo server pretends to be. */
export interface EchoIdentity {
  readonly pod: string;
  readonly node: string;
  /** UDP listens on each of them, for only so does it know where a datagram arrived. */
  readonly addresses: readonly Address[];
  readonly ports: EchoPorts;
}

/** Calls that `echo-server.ts` takes on standard input. */
export interface EchoCalls {
  /** Resolves when all ports listen. */
  readonly serve: {
    /** Path of a namespace to listen in; without it, the process's own. */
    readonly request: EchoIdentity & { readonly netns?: string };
    readonly reply: EchoPorts;
  };
  /** Closes listeners and connections of one pod at once. */
  readonly stop: { readonly request: { readonly pod: string }; readonly reply: null };
}

/** Reads what an echo server sent; undefined when somebody else answered. */
export function parseEchoReply(text: string): EchoReply | undefined {
  const value = parseObject(text);
  if (value === undefined) return undefined;
  const { pod, node, clientPort, local } = value;
  const client = parseAddress(value["client"]);
  const texts = typeof pod === "string" && typeof node === "string" && typeof local === "string";
  if (!texts || client === undefined || typeof clientPort !== "number") return undefined;
  return { pod, node, client, clientPort, local };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

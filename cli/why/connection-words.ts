// A connection as people write it, or as conntrack prints it.

import { parseAddress } from "../../lib/ip/address.ts";
import { WrongUse } from "../exit.ts";
import type { Protocol } from "../can/can-names.ts";

export interface AskedConnection {
  /** NAMESPACE/POD or an address. */
  readonly from: string;
  /** 0: any. */
  readonly sourcePort: number;
  readonly destination: string;
  readonly port: number;
  readonly protocol: Protocol;
}

const PROTOCOLS: Readonly<Record<string, Protocol>> = { tcp: "TCP", udp: "UDP", sctp: "SCTP" };

/**
 * Reads `SRC[:PORT] -> DST:PORT[/udp]`, the arrow may be missing, or words such as
 * `tcp src=A dst=B sport=1 dport=2`, of which the first ones count.
 * @throws WrongUse
 */
export function parseConnection(text: string): AskedConnection {
  const connection = text.includes("src=") ? parseConntrack(text) : parsePair(text);
  if (connection !== undefined) return connection;
  throw new WrongUse(`Cannot read connection "${text}": write SRC[:PORT] DST:PORT[/udp]`);
}

function parseConntrack(text: string): AskedConnection | undefined {
  const word = (name: string): string | undefined =>
    new RegExp(`\\b${name}=(\\S+)`).exec(text)?.[1];
  const [from, destination] = [parseAddress(word("src")), parseAddress(word("dst"))];
  const protocol = PROTOCOLS[/\b(tcp|udp|sctp)\b/.exec(text)?.[1] ?? "tcp"];
  const port = Number(word("dport"));
  if (from === undefined || destination === undefined || protocol === undefined) return undefined;
  if (!isPort(port)) return undefined;
  return { from, sourcePort: Number(word("sport") ?? 0), destination, port, protocol };
}

function parsePair(text: string): AskedConnection | undefined {
  const [source = "", target = "", ...rest] = text
    .replace(/->|→/, " ")
    .split(/\s+/)
    .filter((word) => word !== "");
  const [place = "", word = "tcp"] = target.split("/");
  const protocol = PROTOCOLS[word];
  const to = parsePlace(place);
  const from = parsePlace(source) ?? { address: source, port: 0 };
  const isWhole = rest.length === 0 && source !== "" && to !== undefined && isPort(to.port);
  if (!isWhole || protocol === undefined) return undefined;
  const { address: destination, port } = to;
  return { from: from.address, sourcePort: from.port, destination, port, protocol };
}

/** `A`, `A:PORT`, `[V6]:PORT`; port 0 where there is none. */
function parsePlace(text: string): { readonly address: string; readonly port: number } | undefined {
  const bare = parseAddress(text);
  if (bare !== undefined) return { address: bare, port: 0 };
  const match = /^(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(text);
  const address = parseAddress(match?.[1] ?? match?.[2]);
  return address === undefined ? undefined : { address, port: Number(match?.[3]) };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

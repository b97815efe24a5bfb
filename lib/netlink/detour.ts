// A pair of links of our own, through which a frame that a rule sends out by the one enters IP by
// the other: how packets are taken off a bridge whose frames the IP hooks have seen already.

import { readFile, writeFile } from "node:fs/promises";
import { type Link, listLinks } from "./link.ts";
import type { LinkAddress } from "./link-change.ts";
import { RouteSocket } from "./route-socket.ts";

/** Both ends: frames leave by `out` and arrive at `in`. */
export interface Detour {
  readonly out: Link;
  readonly in: Link;
}

export interface DetourNames {
  readonly out: string;
  readonly in: string;
}

/** An address of a range for such uses (RFC 7600): without one the link takes no IPv4. */
const LINK_ADDRESS: LinkAddress = { address: "192.0.0.8", prefixLength: 32 };
/** Values of rp_filter. */
const STRICT = 1;
const LOOSE = "2";

/**
 * Finds the two links of a detour, or makes them.
 * @param links as they are now
 * @throws RouteError; Error when the reverse path filter would drop what arrives
 */
export async function ensureDetour(names: DetourNames, links: readonly Link[]): Promise<Detour> {
  const found = await ensurePair(names, links, LINK_ADDRESS);
  await loosenReversePath(names.in);
  return found;
}

/**
 * Finds the two links, or makes them.
 * @param links as they are now
 * @param address of `in`
 * @throws RouteError
 */
export async function ensurePair(
  names: DetourNames,
  links: readonly Link[],
  address: LinkAddress,
): Promise<Detour> {
  const found = ends(names, links) ?? (await make(names));
  withSocket((socket) => socket.addLinkAddress(found.in.index, address));
  return found;
}

/**
 * Removes the links.
 * @returns what was there, in words
 * @throws RouteError
 */
export function removeDetour(names: DetourNames): readonly string[] {
  const what = `links ${names.out}, ${names.in}`;
  return withSocket((socket) => (socket.deleteLink(names.out) ? [what] : []));
}

/**
 * A packet that arrives here comes from a pod whose route leads to its bridge: a strict filter
 * would drop it. Where /proc/sys is read-only, a filter that is not strict will do.
 */
async function loosenReversePath(link: string): Promise<void> {
  try {
    await writeFile(reversePath(link), LOOSE);
  } catch (error) {
    const files = ["all", link].map(reversePath);
    const values = await Promise.all(files.map((file) => readFile(file, "utf8")));
    // The kernel takes the larger one.
    if (Math.max(...values.map(Number)) === STRICT) throw error;
  }
}

function reversePath(link: string): string {
  return `/proc/sys/net/ipv4/conf/${link}/rp_filter`;
}

async function make(names: DetourNames): Promise<Detour> {
  withSocket((socket) => {
    socket.deleteLink(names.out);
    socket.addVethPair(names.out, names.in);
  });
  const made = ends(names, await listLinks());
  if (made === undefined) throw new Error(`Cannot find link ${names.in}: it is gone again`);
  return made;
}

function ends(names: DetourNames, links: readonly Link[]): Detour | undefined {
  const find = (wanted: string): Link | undefined => links.find(({ name }) => name === wanted);
  const [out, into] = [find(names.out), find(names.in)];
  return out === undefined || into === undefined ? undefined : { out, in: into };
}

function withSocket<T>(body: (socket: RouteSocket) => T): T {
  const socket = new RouteSocket();
  try {
    return body(socket);
  } finally {
    socket.close();
  }
}

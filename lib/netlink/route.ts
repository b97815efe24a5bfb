// The addresses of this network namespace's interfaces, and word of every change to them.

import type { Clock } from "../clock/clock.ts";
import type { Address, AddressFamily } from "../ip/address.ts";
import { errnoName, SystemError } from "../sys/ffi.ts";
import { dumpHere } from "./dump.ts";
import { openEventSocket } from "./event-socket.ts";
import {
  type AddressScope,
  decodeRouteChunk,
  encodeRouteDump,
  type RouteChunk,
} from "./route-codec.ts";

const NETLINK_ROUTE = 0;
const ADDRESS_GROUPS = 0x110; // RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
const LIST_ATTEMPTS = 5;
const SETTLE_MS = 50;
const RETRY_MS = 1_000;

export interface InterfaceAddress {
  readonly family: AddressFamily;
  readonly address: Address;
  readonly prefixLength: number;
  /** `#7` when the interface went away between the two questions to the kernel. */
  readonly interfaceName: string;
  readonly scope: AddressScope;
}

/** rtnetlink refused, or could not be asked. `code` is the errno name, as in `EPERM`. */
export class RouteError extends Error {
  override readonly name = "RouteError";
  readonly code: string;

  constructor(action: string, code: string, cause?: unknown) {
    super(`Cannot ${action}: kernel returned ${code}`, { cause });
    this.code = code;
  }
}

/**
 * Lists all addresses, also of interfaces that are down, loopback included.
 * @returns sorted by interface name, then address
 * @throws RouteError
 */
export async function listAddresses(): Promise<readonly InterfaceAddress[]> {
  const names = new Map((await dump("links")).flatMap(({ links }) => [...links]));
  const addresses = (await dump("addresses")).flatMap((chunk) => chunk.addresses);
  return addresses
    .map(({ interfaceIndex, ...address }) => ({
      ...address,
      interfaceName: names.get(interfaceIndex) ?? `#${interfaceIndex}`,
    }))
    .sort((a, b) => order(a.interfaceName, b.interfaceName) || order(a.address, b.address));
}

/** The distinct addresses of this host, for matching with `--nodeport-addresses`. */
export async function readHostAddresses(): Promise<readonly Address[]> {
  const addresses = await listAddresses();
  return [...new Set(addresses.map(({ address }) => address))].sort(order);
}

export interface WatchAddressesOptions {
  readonly clock: Clock;
  /** Gets the whole list: once at the start, then whenever it differs from the last one. */
  readonly onChange: (addresses: readonly InterfaceAddress[]) => void;
  /** The watch goes on by itself: the list is read again after a second. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/**
 * Watches addresses until the signal aborts. Level-triggered: a notification, or the loss of some
 * (ENOBUFS), only asks for a new list; a burst of them asks once.
 * @returns resolves when the watch has ended; never rejects
 */
export async function watchAddresses(options: WatchAddressesOptions): Promise<void> {
  const { clock, onError, signal } = options;
  let last = "";
  const report = (addresses: readonly InterfaceAddress[]): void => {
    const text = JSON.stringify(addresses);
    if (text === last || signal.aborted) return;
    last = text;
    options.onChange(addresses);
  };
  while (!signal.aborted) {
    try {
      await follow(clock, signal, report);
    } catch (error) {
      onError(error);
      await clock.sleep(RETRY_MS, signal);
    }
  }
}

/** Reports the list, then again after each change, until the signal aborts or the socket fails. */
async function follow(
  clock: Clock,
  signal: AbortSignal,
  report: (addresses: readonly InterfaceAddress[]) => void,
): Promise<void> {
  let failure: RouteError | undefined;
  let dirty = true;
  let wake = (): void => {};
  const ring = (): void => {
    dirty = true;
    wake();
  };
  const socket = openEventSocket({
    protocol: NETLINK_ROUTE,
    groups: ADDRESS_GROUPS,
    onMessage: ring,
    onError(code, error) {
      if (code !== "ENOBUFS") failure = new RouteError("watch addresses", code, error);
      ring();
    },
  });
  signal.addEventListener("abort", ring);
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      dirty = false;
      report(await listAddresses());
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (dirty || signal.aborted) resolve();
      });
      await clock.sleep(SETTLE_MS, signal);
    }
  } finally {
    signal.removeEventListener("abort", ring);
    socket.close();
  }
}

/** Asks again while the kernel says that the answer changed under way. */
async function dump(what: "links" | "addresses"): Promise<readonly RouteChunk[]> {
  for (let attempt = 0; attempt < LIST_ATTEMPTS; attempt++) {
    const chunks = await dumpOnce(what, attempt + 1);
    if (chunks.every((chunk) => !chunk.interrupted)) return chunks;
  }
  throw new RouteError(`list ${what}`, "EINTR");
}

async function dumpOnce(
  what: "links" | "addresses",
  sequence: number,
): Promise<readonly RouteChunk[]> {
  const action = `list ${what}`;
  const dump = start(action, encodeRouteDump(what, sequence));
  const chunks: RouteChunk[] = [];
  try {
    for (;;) {
      const part = await dump.next();
      if (part.kind === "failed") throw new RouteError(action, part.code);
      const chunk = decodeRouteChunk(part.bytes, sequence);
      chunks.push(chunk);
      const errno = chunk.end?.errno;
      if (errno === 0) return chunks;
      if (errno !== undefined) throw new RouteError(action, errnoName(errno));
    }
  } finally {
    await dump.close();
  }
}

function start(action: string, request: Uint8Array): ReturnType<typeof dumpHere> {
  try {
    return dumpHere({ protocol: NETLINK_ROUTE, request });
  } catch (error) {
    throw new RouteError(action, error instanceof SystemError ? error.code : "EIO", error);
  }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

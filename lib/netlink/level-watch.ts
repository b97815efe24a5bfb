// Watches something that rtnetlink lists. Level-triggered: a notification, or the loss of some
// (ENOBUFS), only asks for a new list; a burst of them asks once.

import type { Clock } from "../clock/clock.ts";
import { openEventSocket } from "./event-socket.ts";
import { RouteError } from "./route-error.ts";

const NETLINK_ROUTE = 0;
const SETTLE_MS = 50;
const RETRY_MS = 1_000;

export interface WatchOptions<T> {
  readonly clock: Clock;
  /** Gets the whole list: once at the start, then whenever it differs from the last one. */
  readonly onChange: (list: T) => void;
  /** The watch goes on by itself: the list is read again after a second. */
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export interface WatchSource<T> {
  /** RTMGRP_* bits of the notifications. */
  readonly groups: number;
  readonly read: () => Promise<T>;
}

/**
 * Watches until the signal aborts.
 * @returns resolves when the watch has ended; never rejects
 */
export async function watchLevel<T>(
  what: string,
  source: WatchSource<T>,
  options: WatchOptions<T>,
): Promise<void> {
  const { clock, onError, signal } = options;
  let last = "";
  const report = (list: T): void => {
    const text = JSON.stringify(list);
    if (text === last || signal.aborted) return;
    last = text;
    options.onChange(list);
  };
  while (!signal.aborted) {
    try {
      await follow(what, source, { clock, signal, report });
    } catch (error) {
      onError(error);
      await clock.sleep(RETRY_MS, signal);
    }
  }
}

/** Reports the list, then again after each change, until the signal aborts or the socket fails. */
async function follow<T>(
  what: string,
  { groups, read }: WatchSource<T>,
  { clock, signal, report }: { clock: Clock; signal: AbortSignal; report: (list: T) => void },
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
    groups,
    onMessage: ring,
    onError(code, error) {
      if (code !== "ENOBUFS") failure = new RouteError(`watch ${what}`, code, error);
      ring();
    },
  });
  signal.addEventListener("abort", ring);
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      dirty = false;
      report(await read());
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

// Where in a resource's history a reflector stands, and when to believe that history went back.

import { compareResourceVersions, isOlder } from "./resource-version.ts";

/**
 * How long a server may stay older than what we saw before we believe it. A lagging API server
 * catches up in seconds; an etcd restored from a backup never does.
 */
export const REWIND_PATIENCE_MS = 30_000;

export class WatchPosition {
  #newest: string | undefined;
  #listedAt = "";
  #behindSinceMs: number | undefined;

  /** The newest version seen, to resume a watch from; undefined before the first list. */
  get newest(): string | undefined {
    return this.#newest;
  }

  /** The oldest version that a list may have; undefined when any will do. */
  minimumForList(nowMs: number): string | undefined {
    return this.#isRewound(nowMs) ? undefined : this.#newest;
  }

  /** True for events that the last list already holds. */
  isEcho(version: string): boolean {
    const order = compareResourceVersions(version, this.#listedAt);
    return order !== undefined && order <= 0;
  }

  /** Takes a complete list of this version as the present, even an older one. */
  listed(version: string): void {
    this.#listedAt = version;
    this.#newest = version;
    this.#behindSinceMs = undefined;
  }

  /** Moves on to an event's version; never back. */
  advance(version: string): void {
    if (version === "" || isOlder(version, this.#newest ?? "")) return;
    this.#newest = version;
    this.#behindSinceMs = undefined;
  }

  /**
   * Notes that the server showed itself older than we are.
   * @returns true when it has done so for too long: only a new list can help
   */
  foundBehind(nowMs: number): boolean {
    this.#behindSinceMs ??= nowMs;
    return this.#isRewound(nowMs);
  }

  #isRewound(nowMs: number): boolean {
    const since = this.#behindSinceMs;
    return since !== undefined && nowMs - since >= REWIND_PATIENCE_MS;
  }
}

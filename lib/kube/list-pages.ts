// The old way to a complete list: page by page. For servers that cannot stream one.

import { setImmediate as nextTurn } from "node:timers/promises";
import { asRecord, asText } from "./api/fields.ts";
import type { KubeClient } from "./client.ts";
import { KubeApiError } from "./kube-api-error.ts";
import type { Listing, WatchedResource } from "./resource-sink.ts";

export interface ListOptions {
  /** Objects a page; 0 asks for all at once, after a continue token expired. */
  readonly pageLimit: number;
  readonly signal: AbortSignal;
}

export const PAGE_LIMIT = 500;
/** A server that still says `continue` after so many pages is broken. */
export const MAX_PAGES = 10_000;
/** Objects read in one turn of the event loop. */
const OBJECTS_PER_TURN = 500;

/**
 * Gathers all pages of one list. Rejects with KubeApiError when any page fails; `listing` is then
 * incomplete and must not be applied.
 * @returns the list's resourceVersion
 */
export async function listPages(
  client: KubeClient,
  { path, query }: WatchedResource,
  listing: Listing,
  { pageLimit, signal }: ListOptions,
): Promise<string> {
  const limited = pageLimit === 0 ? query : { ...query, limit: `${pageLimit}` };
  let next = "";
  for (let page = 1; page <= MAX_PAGES; page++) {
    const from = next === "" ? limited : { ...limited, continue: next };
    const list = asRecord(await client.getJson(path, { query: from, signal }));
    const metadata = asRecord(list["metadata"]);
    const resourceVersion = asText(metadata["resourceVersion"]);
    const { items } = list;
    // An empty list is `null` when a Go server wrote it.
    if ((!Array.isArray(items) && items !== null) || resourceVersion === "") {
      throw garbage(`page ${page} of ${path} is no list`);
    }
    await gather(listing, items ?? []);
    next = asText(metadata["continue"]);
    if (next === "") return resourceVersion;
  }
  throw garbage(`${path} has more than ${MAX_PAGES} pages`);
}

async function gather(listing: Listing, items: readonly unknown[]): Promise<void> {
  for (const [i, item] of items.entries()) {
    if (i > 0 && i % OBJECTS_PER_TURN === 0) await nextTurn();
    listing.put(item);
  }
}

function garbage(why: string): KubeApiError {
  return new KubeApiError(`Cannot list: ${why}`, { code: "EBADMSG", reason: "Garbage" });
}

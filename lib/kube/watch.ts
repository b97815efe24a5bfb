// A reflector: keeps the store equal to one resource of the API server, whatever the server and
// the network do. Lists by WatchList (a watch that starts with the list), or by pages where the
// server cannot. Valid state is removed only by a deletion or by a newer complete list.
//
// A watch that went silent looks like a quiet cluster. So each watch is followed by the next one
// before it ends: a stalled one is made up for after 45 s at most, and no change has to wait for
// a reconnect, even on a server that answers only after half a minute.

import type { Clock } from "../clock/clock.ts";
import { retryDelayMs } from "../clock/retry-delay.ts";
import type { KubeClient } from "./client.ts";
import { KubeApiError, toKubeApiError } from "./kube-api-error.ts";
import { listPages, PAGE_LIMIT } from "./list-pages.ts";
import type { WatchedResource } from "./resource-sink.ts";
import { type Listing, makeResourceSink, type ResourceSink } from "./resource-sink.ts";
import { isOlder } from "./resource-version.ts";
import type { KubeStore } from "./store.ts";
import { WatchPosition } from "./watch-position.ts";
import type { WatchReport } from "./watch-report.ts";
import { readWatchStream, type StateEvent, type StreamEnd } from "./watch-stream.ts";

export interface ReflectorOptions {
  readonly client: KubeClient;
  readonly resource: WatchedResource;
  readonly store: KubeStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly onEvent: (report: WatchReport) => void;
}

/** A watch is followed by the next one after this time at the earliest… */
export const RENEW_AFTER_MS = 40_000;
/** …and this much later at the latest, so that nodes drift apart. */
export const RENEW_JITTER_MS = 5_000;
/** 8 s, so that a healed server is found within 10 s (the bound after every fault). */
export const RETRY = { minMs: 500, maxMs: 8_000 };
/** A server may ask for no longer wait than this. */
export const MAX_RETRY_AFTER_MS = 60_000;
/** How often a missing optional API is looked for again, and up to twice that: 30 s in the mean. */
export const ABSENT_RETRY_MS = 20_000;
/** A server that has just started forbids everything, until it has read its roles. */
export const FORBIDDEN_PATIENCE_MS = 5_000;

/** Runs until `signal` aborts. Never rejects. */
export async function runReflector(options: ReflectorOptions): Promise<void> {
  const { clock, signal } = options;
  const reflector = new Reflector(options);
  while (!signal.aborted) {
    const pauseMs = await reflector.session();
    if (pauseMs > 0) await clock.sleep(pauseMs, signal);
  }
}

interface Stream {
  /** The initial list while it comes; undefined once the stream is live. */
  listing: Listing | undefined;
  progressed: boolean;
}

type RunningStream = Stream & { readonly ended: Promise<StreamEnd> };

class Reflector {
  readonly #options: ReflectorOptions;
  readonly #sink: ResourceSink;
  readonly #position = new WatchPosition();
  #listDue = true;
  #everListed = false;
  /** What became of WatchList: a refusal is final, a failure only sends the next list to pages. */
  #watchList: "usable" | "refused" | "failed" = "usable";
  #pageLimit = PAGE_LIMIT;
  #failures = 0;
  #forbiddenSinceMs: number | undefined;
  /** Aborts all watches that began before the list that is due. */
  #generation = new AbortController();

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#sink = makeResourceSink(options.resource, options.store);
  }

  /** Lists if due, and watches until something goes wrong. Returns how long to wait then. */
  async session(): Promise<number> {
    if (this.#listDue) {
      this.#generation.abort();
      this.#generation = new AbortController();
      if (this.#watchList !== "usable") {
        const failure = await this.#listByPages();
        if (failure !== undefined) return this.#afterListFailure(failure);
      }
    }
    let stream = this.#openStream();
    for (;;) {
      const end = await this.#endOrRenewal(stream);
      if (end !== "renew") return this.#afterEnd(stream, end);
      // What stood so long ended whatever outage there was, even where nothing ever changes.
      this.#failures = 0;
      // The old one goes on until its time is over; what both bring is the same.
      stream = this.#openStream();
    }
  }

  async #endOrRenewal(stream: RunningStream): Promise<StreamEnd | "renew"> {
    const { clock, random } = this.#options;
    const ended = new AbortController();
    const renewMs = RENEW_AFTER_MS + random() * RENEW_JITTER_MS;
    const renewal = clock.sleep(renewMs, ended.signal).then((): "renew" => "renew");
    const first = await Promise.race([stream.ended, renewal]);
    ended.abort();
    return first === "renew" && stream.listing !== undefined ? stream.ended : first;
  }

  #openStream(): RunningStream {
    const { client, clock, resource, signal } = this.#options;
    const listing = this.#listDue ? this.#sink.startList() : undefined;
    const stream: Stream = { listing, progressed: false };
    const reading = readWatchStream(client, clock, {
      path: resource.path,
      query: this.#watchQuery(),
      signal: AbortSignal.any([signal, this.#generation.signal]),
      onHead: () => {
        if (stream.listing === undefined) this.#tell("current");
      },
      onEvent: (event) => this.#take(stream, event),
    }).then((end) => {
      // Told for every stream: one that fell silent may have been followed by the next already.
      if (end.kind === "stalled") this.#tell("failed", formatEnd(end));
      return end;
    });
    return Object.assign(stream, { ended: reading });
  }

  #watchQuery(): Readonly<Record<string, string>> {
    const { clock, resource } = this.#options;
    const watch = { ...resource.query, watch: "true", allowWatchBookmarks: "true" };
    const since = this.#listDue
      ? this.#position.minimumForList(clock.monotonicMs())
      : this.#position.newest;
    return {
      ...watch,
      ...(this.#listDue && { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" }),
      ...(since !== undefined && { resourceVersion: since }),
    };
  }

  #take(stream: Stream, event: StateEvent): void {
    stream.progressed = true;
    const { listing } = stream;
    if (listing === undefined) return this.#apply(event);
    if (event.kind === "put") return listing.put(event.object);
    if (event.kind === "delete") return listing.remove(event.object);
    if (!event.initialEventsEnd) return;
    stream.listing = undefined;
    this.#takeList(listing, event.resourceVersion);
  }

  #apply(event: StateEvent): void {
    const { resourceVersion } = event;
    this.#failures = 0;
    if (event.kind === "bookmark" && isOlder(resourceVersion, this.#position.newest ?? "")) {
      const { clock } = this.#options;
      if (!this.#position.foundBehind(clock.monotonicMs())) return;
      this.#listDue = true;
      return this.#generation.abort();
    }
    this.#tell("current");
    if (this.#position.isEcho(resourceVersion)) return;
    if (event.kind === "put") this.#sink.put(event.object);
    if (event.kind === "delete") this.#sink.remove(event.object);
    this.#position.advance(resourceVersion);
  }

  async #listByPages(): Promise<KubeApiError | undefined> {
    const { client, clock, resource, signal } = this.#options;
    const listing = this.#sink.startList();
    try {
      const pageLimit = this.#pageLimit;
      const version = await listPages(client, resource, listing, { pageLimit, signal });
      const minimum = this.#position.minimumForList(clock.monotonicMs());
      if (minimum !== undefined && isOlder(version, minimum)) {
        const message = `Cannot take list of ${resource.path}: ${version} is before ${minimum}`;
        return new KubeApiError(message, { code: 504, reason: "Behind" });
      }
      this.#takeList(listing, version);
      return undefined;
    } catch (cause) {
      return toKubeApiError(`list ${resource.path}`, cause);
    }
  }

  #takeList(listing: Listing, version: string): void {
    listing.apply();
    this.#position.listed(version);
    this.#listDue = false;
    this.#everListed = true;
    this.#failures = 0;
    this.#forbiddenSinceMs = undefined;
    this.#pageLimit = PAGE_LIMIT;
    if (this.#watchList === "failed") this.#watchList = "usable";
    this.#tell("listed");
  }

  #afterEnd(stream: Stream, end: StreamEnd): number {
    const listing = stream.listing !== undefined;
    if (listing && end.kind === "failed") return this.#afterListFailure(end.error);
    if (listing && this.#watchList === "usable") this.#watchList = "failed";
    const mustList =
      end.kind === "expired" ||
      (end.kind === "garbage" && !stream.progressed) ||
      (end.kind === "failed" && isRefusal(end.error));
    if (mustList) this.#listDue = true;
    if (end.kind !== "stalled") this.#tell("failed", formatEnd(end));
    return this.#pauseMs(end.kind === "failed" ? end.error.retryAfterMs : 0);
  }

  #afterListFailure(error: KubeApiError): number {
    const { clock, random, resource, store } = this.#options;
    const { code } = error;
    if (resource.presence === "optional" && (code === 404 || this.#isForbidden(code))) {
      if (!this.#everListed) store.replace(resource.kind, []);
      this.#everListed = true;
      this.#tell("absent", error.message);
      return ABSENT_RETRY_MS * (1 + random());
    }
    this.#tell("failed", error.message);
    if (this.#watchList === "usable" && isRefusal(error)) {
      this.#watchList = "refused";
      return 0;
    }
    // The continue token expired between pages: ask for everything at once, as the API advises.
    if (code === 410) this.#pageLimit = 0;
    if (code === 504) this.#position.foundBehind(clock.monotonicMs());
    return this.#pauseMs(error.retryAfterMs);
  }

  /** Whether we may not read this, and not because the server is only starting. */
  #isForbidden(code: number | string): boolean {
    if (code !== 403) return false;
    const nowMs = this.#options.clock.monotonicMs();
    this.#forbiddenSinceMs ??= nowMs;
    return nowMs - this.#forbiddenSinceMs >= FORBIDDEN_PATIENCE_MS;
  }

  #pauseMs(retryAfterMs: number): number {
    const spreadMs = retryDelayMs(RETRY, this.#failures++, this.#options.random());
    return Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) + spreadMs;
  }

  #tell(kind: WatchReport["kind"], why?: string): void {
    const { clock, onEvent, resource, signal } = this.#options;
    if (signal.aborted) return;
    const atMs = clock.monotonicMs();
    onEvent({ resource: resource.kind, kind, atMs, ...(why !== undefined && { why }) });
  }
}

function formatEnd(end: StreamEnd): string {
  switch (end.kind) {
    case "ended":
      return "Cannot go on watching: the server ended the watch early";
    case "failed":
      return end.error.message;
    case "garbage":
      return `Cannot read watch: ${end.why}`;
    case "stalled":
      return "Cannot go on watching: the server fell silent";
    case "expired":
      return "Cannot resume watch: its version has expired, listing again";
    default:
      return end satisfies never;
  }
}

/** The server understood and said no; the same request again would only hear it again. */
function isRefusal({ code }: KubeApiError): boolean {
  if (typeof code !== "number" || code < 400 || code >= 500) return false;
  return code !== 401 && code !== 403 && code !== 408 && code !== 410 && code !== 429;
}

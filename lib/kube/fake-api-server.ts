// An API server for tests: honest HTTP over loopback, with LIST in pages, watches, WatchList,
// bookmarks, selectors and 410, and with faults on request. No authentication unless asked for.

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { asRecord, type JsonRecord } from "./api/fields.ts";
import { answerObject, namesObject, type ObjectVerb } from "./fake-api-objects.ts";
import { parseFieldSelector, parseLabelSelector, type Selects } from "./fake-api-selectors.ts";
import { COLLECTION_PATHS, FakeApiState, type ObjectRef } from "./fake-api-state.ts";
import { FakeWatch } from "./fake-api-watch.ts";

/** What to do to a request instead of answering it. */
export type Fault =
  | { readonly kind: "status"; readonly code: number; readonly retryAfterSeconds?: number }
  /** Close the connection without an answer. */
  | { readonly kind: "reset" }
  /** Take the request and never answer. */
  | { readonly kind: "silence" };

export interface FaultRule {
  readonly path: string;
  readonly verb: "list" | "watch" | ObjectVerb;
  /** Only this page of a list, counted from 1. */
  readonly page?: number;
  /** How many requests it hits. */
  readonly times: number;
  readonly fault: Fault;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
}

/** A write that reached the server and was no fault's victim; it may still have been refused. */
export interface SeenWrite {
  readonly verb: ObjectVerb;
  readonly path: string;
  readonly body: JsonRecord;
}

export interface FakeApiOptions {
  /** Whether watches may start with the list. @default true */
  readonly watchList?: boolean;
  /** Collections that this cluster lacks. */
  readonly absent?: readonly string[];
  /** The only bearer token taken; looked up for each request. */
  readonly token?: () => string;
  /** @default 127.0.0.1 */
  readonly host?: string;
  /** @default any free port */
  readonly port?: number;
}

export class FakeApiServer {
  readonly state = new FakeApiState();
  readonly requests: SeenRequest[] = [];
  readonly writes: SeenWrite[] = [];
  readonly #options: FakeApiOptions;
  readonly #server: Server;
  readonly #watches = new Set<FakeWatch>();
  readonly #faults: { readonly rule: FaultRule; left: number }[] = [];
  #nextListLength: number | undefined;

  /** Resolves when it listens. */
  static async start(options: FakeApiOptions = {}): Promise<FakeApiServer> {
    const fake = new FakeApiServer(options);
    const { host = "127.0.0.1", port = 0 } = options;
    await new Promise<void>((resolve) => fake.#server.listen(port, host, resolve));
    return fake;
  }

  constructor(options: FakeApiOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.state.onChange((path, change) => {
      for (const watch of this.watches(path)) watch.send(change);
    });
  }

  get url(): URL {
    const address = this.#server.address();
    assert.ok(typeof address === "object" && address !== null, "the fake listens on TCP");
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return new URL(`http://${host}:${address.port}`);
  }

  put(object: JsonRecord): JsonRecord {
    return this.state.put(object);
  }

  remove(ref: ObjectRef): void {
    this.state.remove(ref);
  }

  /** Open watches of a collection, oldest first. */
  watches(path: string): readonly FakeWatch[] {
    return [...this.#watches].filter((watch) => watch.path === path);
  }

  inject(rule: FaultRule): void {
    this.#faults.push({ rule, left: rule.times });
  }

  /** Breaks off the next list that is streamed by a watch after so many objects. */
  endNextListAfter(objects: number): void {
    this.#nextListLength = objects;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "http://fake");
    const query = Object.fromEntries(url.searchParams);
    const { authorization } = request.headers;
    const method = request.method ?? "";
    this.requests.push({ method, path: url.pathname, query, authorization });
    const verb = verbOf(method, url.pathname, query);
    const page = 1 + Number(query["continue"]?.split("/")[2] ?? 0);
    const fault = this.#takeFault(url.pathname, verb, page);
    if (fault !== undefined) return applyFault(fault, request, response);
    const { token, absent = [] } = this.#options;
    if (token !== undefined && authorization !== `Bearer ${token()}`) {
      return sendStatus(response, 401, "Unauthorized");
    }
    if (verb !== "list" && verb !== "watch") {
      return this.#exchange(verb, url.pathname, request, response);
    }
    const known = Object.values(COLLECTION_PATHS).includes(url.pathname);
    if (!known || absent.includes(url.pathname)) return sendStatus(response, 404, "NotFound");
    const selects = selectorOf(query);
    if (verb === "list") return this.#list(url.pathname, query, selects, response);
    return this.#watch(url.pathname, query, selects, response);
  }

  #takeFault(path: string, verb: string, page: number): Fault | undefined {
    const hit = this.#faults.find(
      ({ rule, left }) =>
        left > 0 &&
        rule.path === path &&
        rule.verb === verb &&
        (rule.page === undefined || rule.page === page),
    );
    if (hit !== undefined) hit.left--;
    return hit?.rule.fault;
  }

  #list(
    path: string,
    query: Readonly<Record<string, string>>,
    selects: Selects,
    response: ServerResponse,
  ): void {
    // A continue token says version/offset/page, so that all pages show one moment.
    const [version = `${this.state.version}`, offset = "0", page = "0"] =
      query["continue"]?.split("/") ?? [];
    if (Number(version) < this.state.compactedAt) return sendStatus(response, 410, "Expired");
    const all = [...this.state.objects(path).values()].filter(({ value }) => selects(value));
    const limit = Number(query["limit"] ?? 0) || all.length;
    const end = Number(offset) + limit;
    const items = all.slice(Number(offset), end).map(({ text }) => text);
    const next = end < all.length ? `${version}/${end}/${Number(page) + 1}` : "";
    const metadata = JSON.stringify({ resourceVersion: version, continue: next });
    response.setHeader("content-type", "application/json");
    response.end(`{"kind":"List","metadata":${metadata},"items":[${items.join(",")}]}`);
  }

  #watch(
    path: string,
    query: Readonly<Record<string, string>>,
    selects: Selects,
    response: ServerResponse,
  ): void {
    const from = query["resourceVersion"] ?? "";
    const listing = query["sendInitialEvents"] === "true";
    if (listing && this.#options.watchList === false) return sendStatus(response, 422, "Invalid");
    if (listing && Number(from) > this.state.version) return sendStatus(response, 504, "Timeout");
    if (!listing && Number(from) < this.state.compactedAt) {
      return sendStatus(response, 410, "Expired");
    }
    const watch = new FakeWatch(path, selects, response);
    this.#watches.add(watch);
    response.once("close", () => this.#watches.delete(watch));
    if (listing && this.#nextListLength !== undefined) {
      watch.sendList([...this.state.objects(path).values()].slice(0, this.#nextListLength));
      this.#nextListLength = undefined;
      return watch.end();
    }
    if (listing) {
      watch.sendList(this.state.objects(path).values());
      watch.sendBookmark(this.state.version, true);
    } else {
      for (const change of this.state.changesAfter(path, Number(from))) watch.send(change);
    }
    const seconds = Number(query["timeoutSeconds"] ?? 0);
    if (seconds > 0) setTimeout(() => watch.end(), seconds * 1_000).unref();
  }

  #exchange(
    verb: ObjectVerb,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const body = asRecord(text === "" ? {} : JSON.parse(text));
      if (verb !== "get") this.writes.push({ verb, path, body });
      const answer = answerObject(this.state, { verb, path, body });
      if ("reason" in answer) return sendStatus(response, answer.code, answer.reason);
      response.writeHead(answer.code, { "content-type": "application/json" });
      response.end(JSON.stringify(answer.object));
    });
  }
}

function verbOf(
  method: string,
  path: string,
  query: Readonly<Record<string, string>>,
): "list" | "watch" | ObjectVerb {
  if (method === "POST") return "create";
  if (method === "PUT") return "update";
  if (method === "PATCH") return "patch";
  if (namesObject(path)) return "get";
  return "watch" in query ? "watch" : "list";
}

function selectorOf(query: Readonly<Record<string, string>>): Selects {
  const labels = parseLabelSelector(query["labelSelector"] ?? "");
  const fields = parseFieldSelector(query["fieldSelector"] ?? "");
  return (object) => labels(object) && fields(object);
}

function applyFault(fault: Fault, request: IncomingMessage, response: ServerResponse): void {
  switch (fault.kind) {
    case "reset":
      request.socket.destroy();
      return;
    case "silence":
      return;
    case "status":
      if (fault.retryAfterSeconds !== undefined) {
        response.setHeader("retry-after", fault.retryAfterSeconds);
      }
      return sendStatus(response, fault.code, "Injected");
    default:
      return fault satisfies never;
  }
}

function sendStatus(response: ServerResponse, code: number, reason: string): void {
  const status = { kind: "Status", apiVersion: "v1", code, reason, message: `fake says ${reason}` };
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify(status));
}

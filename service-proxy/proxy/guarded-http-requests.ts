// The judge in front of one pod's port: asked about every request in the very form in which it is
// forwarded, and again about those under way when the rules change.

import type { RequestHead } from "../../lib/http/message.ts";
import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import { normalisePath, withoutQuery } from "../model/route-path.ts";
import type { RouteBackend, RouteRule } from "../model/route-table.ts";
import { FieldReadings, type ReadField } from "./guarded-http-fields.ts";
import type { Routed } from "./http-routing.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import { hostOf } from "./route-condition.ts";

/** What rules look at. */
export interface JudgedRequest {
  readonly method: string;
  /** In its normal form, without its query. */
  readonly path: string;
  /** Lower-case, without port and final dot; empty where there is none. */
  readonly host: string;
  /** Lines of one name, joined by commas or one of them. @param name lower-case */
  header(name: string): string | undefined;
  /** Asked after its verdict: if that allows, the same request is judged in another reading. */
  isReadAgain(): boolean;
}

/** Whatever is not allowed is refused. `rule` is for logs; the client does not get to know it. */
export type JudgeRequest = (request: JudgedRequest) => {
  readonly kind: "allow" | "deny" | "open";
  readonly rule: string;
};

export interface GuardParts {
  /** `address:port` */
  readonly pod: string;
  /** The pod, as it is spoken to in either version of HTTP. */
  readonly groups: Readonly<Record<"http1" | "http2", ServedGroup>>;
  readonly proof: StreamProof | undefined;
  readonly judge: JudgeRequest;
}

/** A request that was allowed, as long as it lasts. */
export interface AllowedRequest {
  /** A rule allows it no more. */
  onDenied(rule: string): void;
}

/** A servlet container takes these off a path before it looks for what to call. */
const PATH_PARAMETERS = /;[^/]*/g;
const TOO_MANY_LINES = "a header that its rules are about has too many lines";
/** Which of the groups is taken says the version of HTTP. */
const BACKEND: RouteBackend = { weight: 1, filters: [] };
/** Everything goes to the pod. */
export const GUARDED_RULE: RouteRule = {
  route: "",
  rule: "",
  match: { hostnames: [], headers: [], queryParams: [] },
  filters: [],
  backends: [BACKEND],
  timeouts: {},
  grpc: false,
};

export class RequestGuard {
  /** Who is at both ends of the client's connection; undefined where nothing proves it. */
  readonly proof: StreamProof | undefined;
  /** `address:port` */
  readonly pod: string;
  readonly #groups: Readonly<Record<"http1" | "http2", ServedGroup>>;
  readonly #allowed = new Map<AllowedRequest, RequestHead>();
  #judge: JudgeRequest;

  constructor({ pod, groups, proof, judge }: GuardParts) {
    this.proof = proof;
    this.pod = pod;
    this.#groups = groups;
    this.#judge = judge;
  }

  /** A request that is to be forwarded, unless it is denied; `over` must follow. */
  route(received: RequestHead, protocol: "http1" | "http2", request: AllowedRequest): Routed {
    const path = normalisePath(received.path);
    if (path === undefined) return { kind: "failure", rule: undefined, failure: "bad-request" };
    const head = path === received.path ? received : { ...received, path };
    const deniedBy = this.#ruleAgainst(head);
    if (deniedBy !== undefined) {
      return { kind: "failure", rule: GUARDED_RULE, failure: "denied", deniedBy };
    }
    this.#allowed.set(request, head);
    return {
      kind: "forward",
      rule: GUARDED_RULE,
      backend: BACKEND,
      group: this.#groups[protocol],
      head,
      mirrors: [],
      session: undefined,
    };
  }

  over(request: AllowedRequest): void {
    this.#allowed.delete(request);
  }

  /** Other rules hold from here on, for requests under way, too. */
  rejudge(judge: JudgeRequest): void {
    this.#judge = judge;
    for (const [request, head] of this.#allowed) {
      const deniedBy = this.#ruleAgainst(head);
      if (deniedBy !== undefined) request.onDenied(deniedBy);
    }
  }

  /** What servers are known to read in two ways must be allowed in both. */
  #ruleAgainst(head: RequestHead): string | undefined {
    const paths = readingsOf(withoutQuery(head.path));
    for (const [i, path] of paths.entries()) {
      const readings = new FieldReadings(head);
      const isReadAgain = (): boolean => i + 1 < paths.length || readings.hasMore;
      for (const read of readings.all()) {
        const verdict = this.#judge({ ...judgedRequest(head, path, read), isReadAgain });
        if (verdict.kind !== "allow") return verdict.rule;
        if (readings.isCut) return TOO_MANY_LINES;
      }
    }
    return undefined;
  }
}

function judgedRequest(
  head: RequestHead,
  path: string,
  read: ReadField,
): Omit<JudgedRequest, "isReadAgain"> {
  const { method, authority, upgrade } = head;
  const header = (name: string): string | undefined => {
    if (name === "upgrade") return upgrade;
    return name === "host" ? authority || undefined : read(name);
  };
  return { method, path, host: hostOf(head), header };
}

/** `/a;x/b` is itself, and `/a/b`. */
function readingsOf(path: string): readonly string[] {
  if (!path.includes(";")) return [path];
  return [path, normalisePath(path.replaceAll(PATH_PARAMETERS, "")) ?? path];
}

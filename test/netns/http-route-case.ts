// What a case of the route tables is, and how it is checked.

import assert from "node:assert/strict";
import { valueOf } from "./http-backend-log.ts";
import type { FieldPairs } from "./http-backend-protocol.ts";
import type { HttpCall } from "./http-client-protocol.ts";
import type { HttpService, RouteSpec } from "./http-manifests.ts";
import { type HttpRig, type HttpSender, seenBy } from "./http-rig.ts";

/** Routes on a Service of the case's own, and what requests to it meet. */
export interface RouteCase {
  /** A sentence with the rule. */
  readonly name: string;
  readonly routes: readonly RouteSpec[];
  readonly service?: Partial<HttpService>;
  readonly requests: readonly CaseRequest[];
}

export interface CaseRequest extends Omit<HttpCall, "address" | "port"> {
  /** @default "pod-1-1" */
  readonly from?: HttpSender;
  /** @default "ip" */
  readonly family?: "ip" | "ip6";
  /** @default the ClusterIP */
  readonly to?: "nodePort";
  readonly expect: CaseExpectation;
}

/** What is not said may be anything, but the status, which is 200. */
export interface CaseExpectation {
  readonly status?: number;
  /** The backend that answered. */
  readonly pod?: string;
  /** What it saw. */
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  /** The address that called it. */
  readonly client?: string;
  /** Fields that it saw; null: did not. */
  readonly saw?: Readonly<Record<string, string | null>>;
  /** Fields that the client got; null: did not. */
  readonly got?: Readonly<Record<string, string | null>>;
}

/** Sends all requests of a case, one by one. */
export async function checkRouteCase(
  rig: HttpRig,
  { requests }: RouteCase,
  number: number,
): Promise<void> {
  for (const { from, family, to, expect, ...call } of requests) {
    const target =
      to === "nodePort" ? rig.nodePort(number, family) : rig.target(number, call.protocol, family);
    const way = `${from ?? "pod-1-1"} ${to ?? "ClusterIP"} ${family ?? "ip"}`;
    const head = `${call.method ?? "GET"} ${call.path ?? "/"} ${JSON.stringify(call.headers)}`;
    const where = `${way}: ${head}`;
    const answer = await rig.answer({ ...target, ...call }, from);
    const text = `${where}: ${answer.body.slice(0, 500)}`;
    assert.equal(answer.status, expect.status ?? 200, text);
    checkFields(answer.fields, expect.got, `${where}, got`);
    const { status: _status, got: _got, saw, ...wanted } = expect;
    if (saw === undefined && Object.keys(wanted).length === 0) continue;
    const seen = seenBy(answer);
    assert.partialDeepStrictEqual(seen, wanted, where);
    checkFields(seen.fields, saw, `${where}, saw`);
  }
}

function checkFields(
  fields: FieldPairs,
  expected: Readonly<Record<string, string | null>> = {},
  where: string,
): void {
  for (const [name, value] of Object.entries(expected)) {
    const isThere = fields.some(([key]) => key === name);
    assert.equal(isThere ? valueOf(fields, name) : null, value, `${where} ${name}`);
  }
}

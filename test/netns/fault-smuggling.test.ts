// Requests that two recipients could read in two ways (F48), through the proxy to programs that are
// not ours: each is refused, or is exactly one request there, and nobody gets another's answer.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SMUGGLING_CASES, type SmugglingCase } from "../../lib/http/h1-smuggling-cases.ts";
import { FaultRig, measured } from "./fault-rig.ts";
import { Origin, ORIGINS, type OriginKind } from "./fault-origins.ts";
import { until } from "./served-node.ts";

const PODS: Readonly<Record<OriginKind, string>> = {
  node: "pod-1-2",
  python: "pod-1-3",
  nginx: "pod-2-1",
  haproxy: "pod-2-2",
};
const ANSWER_MS = 3_000;
/** The proxy answers these itself, though they are one request each. */
const ANSWERED_HERE = /^CONNECT/;

describe("smuggling through the L7 lane", () => {
  let rig: FaultRig;
  const origins = new Map<OriginKind, Origin>();
  before(async () => {
    rig = await FaultRig.build({ podsPerNode: 3, backends: {} });
    for (const kind of ORIGINS) {
      const host = rig.host(PODS[kind]);
      origins.set(kind, await Origin.start(rig.served.playground, host, kind));
    }
    await rig.put(Object.fromEntries(ORIGINS.map((kind, i) => [i + 1, { pods: [PODS[kind]] }])));
    await rig.start(1);
    for (const [i, kind] of ORIGINS.entries()) {
      await until(`${kind}`, async () => (await canary(i + 1, "/ready")).startsWith("200"));
    }
  });
  after(async () => {
    for (const origin of origins.values()) await origin[Symbol.asyncDispose]();
    await rig[Symbol.asyncDispose]();
  });

  /** An honest request. @returns the status and the body of its answer */
  async function canary(service: number, path: string): Promise<string> {
    const bytes = `GET ${path} HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n`;
    const answer = await exchange(service, bytes);
    const [head = "", body = ""] = answer.received.split("\r\n\r\n");
    return `${head.slice(9, 12)} ${body}`;
  }

  function exchange(service: number, bytes: string, until?: string) {
    const request = { ...rig.target(service), writes: [{ bytes }], forMs: ANSWER_MS };
    return rig
      .client("client")
      .call("exchange", until === undefined ? request : { ...request, until });
  }

  async function check(kind: OriginKind, one: SmugglingCase, number: number): Promise<string> {
    const service = ORIGINS.indexOf(kind) + 1;
    const { seen } = origins.get(kind) ?? assert.fail(kind);
    const seenBefore = seen.length;
    const where = `${kind}: ${one.name}`;
    const refused = one.outcome.kind === "refused";
    // The answer to one request ends with what the backend read, or is the backend's own refusal.
    const answer = await exchange(service, one.bytes, refused ? undefined : "\r\n\r\n");
    const status = answer.received.slice(9, 12);
    const path = `/canary-${number}`;
    assert.equal(await canary(service, path), `200 GET canary ${path}`, where);
    const ours = `GET canary ${path}`;
    await until(`the canary at ${where}`, () => seen.includes(ours));
    const theirs = seen.slice(seenBefore).filter((line) => line !== ours);
    if (one.outcome.kind === "refused") {
      assert.equal(status, `${one.outcome.status}`, where);
      assert.equal(answer.end, "fin", where);
      assert.equal(answer.received.match(/HTTP\/1\.1 /g)?.length, 1, where);
      assert.deepEqual(theirs, [], where);
      return "refused";
    }
    if (ANSWERED_HERE.test(one.outcome.line)) {
      assert.deepEqual([status, theirs], ["405", []], where);
      return "refused";
    }
    // A backend may refuse what we pass on, such as a Host without a name: before it is a request.
    if (status === "400" && theirs.length === 0) return "refused by the backend";
    assert.equal(theirs.length, 1, `${where}: ${theirs.join(" | ")}`);
    return "one";
  }

  for (const kind of ORIGINS) {
    test(`${kind}: every case is refused and closed, or one request; canaries live (F48)`, async () => {
      const outcomes = new Map<string, number>();
      const failures: string[] = [];
      for (const [number, one] of SMUGGLING_CASES.entries()) {
        try {
          const outcome = await check(kind, one, number);
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        } catch (error) {
          failures.push(String(error));
        }
      }
      measured(kind, { cases: SMUGGLING_CASES.length, ...Object.fromEntries(outcomes) });
      assert.deepEqual(failures, []);
    });
  }
});

// Fields of this hop: what is known is set, what others claim is dropped, traces go on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type FieldLines, fieldValue } from "../../lib/http/message.ts";
import { addForwardingFields } from "./route-forwarding.ts";
import { sampleHead } from "./sample-rules.ts";

const FACTS = {
  clientAddress: "10.1.0.7",
  scheme: "http",
  port: 8080,
  randomHex: (lengthBytes: number) => "ab".repeat(lengthBytes),
} as const;

function forwarded(fields: FieldLines, authority = "web.shop"): FieldLines {
  return addForwardingFields(sampleHead("/", { fields, authority }), FACTS).fields;
}

const get = (fields: FieldLines, name: string): string | undefined =>
  fieldValue(forwarded(fields), name);

test("the client, its scheme, host and port are told, once", () => {
  const claims = [
    ["x-forwarded-for", "1.2.3.4"],
    ["x-forwarded-proto", "https"],
    ["forwarded", "for=1.2.3.4"],
    ["x-real-ip", "1.2.3.4"],
    ["x-forwarded-client-cert", "x"],
    ["x-forwarded-for", "5.6.7.8"],
  ].flat();
  const told = [
    ["x-forwarded-for", "10.1.0.7"],
    ["x-forwarded-proto", "http"],
    ["x-forwarded-host", "web.shop"],
    ["x-forwarded-port", "8080"],
  ].flat();
  const fields = forwarded(["a", "1", ...claims]);
  assert.deepEqual(fields.slice(0, 10), ["a", "1", ...told]);
  assert.equal(fieldValue(forwarded([], ""), "x-forwarded-host"), undefined);
});

test("a request id is kept when it looks like one, or made", () => {
  assert.equal(get(["x-request-id", "abc-1"], "x-request-id"), "abc-1");
  for (const bad of ["", "a b", "a".repeat(129), 'a"b']) {
    assert.equal(get(["x-request-id", bad], "x-request-id"), "ab".repeat(16));
  }
});

const TRACE = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;

test("a trace is passed on with its state", () => {
  const fields = ["traceparent", TRACE, "tracestate", "a=b"];
  assert.equal(get(fields, "traceparent"), TRACE);
  assert.equal(get(fields, "tracestate"), "a=b");
  const later = `01-${TRACE.slice(3)}-more`;
  assert.equal(get(["traceparent", later], "traceparent"), later);
});

for (const bad of [
  undefined,
  "",
  `00-${"0".repeat(32)}-${"2".repeat(16)}-01`,
  `00-${"1".repeat(32)}-${"0".repeat(16)}-01`,
  `${TRACE}-more`,
  `ff${TRACE.slice(2)}`,
  TRACE.replace("1", "G"),
]) {
  test(`a traceparent like ${JSON.stringify(bad)} starts a trace, without the old state`, () => {
    const fields = [...(bad === undefined ? [] : ["traceparent", bad]), "tracestate", "a=b"];
    assert.equal(get(fields, "traceparent"), `00-${"ab".repeat(16)}-${"ab".repeat(8)}-00`);
    assert.equal(get(fields, "tracestate"), undefined);
  });
}

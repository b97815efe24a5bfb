import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldLines } from "./h2-case-peer.ts";
import { makeField } from "./h2-field.ts";
import { H2HeadBuilder } from "./h2-head.ts";

function build(fields: readonly string[]): H2HeadBuilder {
  const builder = new H2HeadBuilder();
  builder.field(makeField(":left-over", "of another block"));
  builder.begin();
  for (let i = 0; i < fields.length; i += 2) {
    builder.field(makeField(fields[i] ?? "", fields[i + 1] ?? ""));
  }
  return builder;
}

const START: readonly string[] = [":method", "GET", ":scheme", "http", ":path", "/"];
const AUTHORITY: readonly string[] = [":authority", "example.com"];
const REQUEST: readonly string[] = [...START, ...AUTHORITY];
const CONNECT: readonly string[] = [":method", "CONNECT", ":authority", "example.com:443"];
const EXTENDED: readonly string[] = fieldLines(
  ":method: CONNECT",
  ":protocol: websocket",
  ":scheme: https",
  ":path: /chat",
  ":authority: example.com",
);

/** The request with one pseudo-field's value replaced. */
function having(name: string, value: string): readonly string[] {
  return REQUEST.map((text, i) => (i % 2 === 1 && REQUEST[i - 1] === name ? value : text));
}

function without(name: string): readonly string[] {
  return REQUEST.filter((_, i) => REQUEST[i - (i % 2)] !== name);
}

const MALFORMED_REQUESTS: readonly (readonly [rule: string, fields: readonly string[]])[] = [
  ["a method is required", without(":method")],
  ["a scheme is required", without(":scheme")],
  ["a path is required", without(":path")],
  ["an authority or a host is required", without(":authority")],
  ["a pseudo-field comes once", [...REQUEST, ":path", "/"]],
  ["the same authority comes once", [...REQUEST, ...AUTHORITY]],
  ["a pseudo-field comes before others", ["accept", "*/*", ...REQUEST]],
  ["a pseudo-field comes before host", [...START, "host", "example.com", ...AUTHORITY]],
  ["a pseudo-field comes before a cookie", [...START, "cookie", "a=b", ...AUTHORITY]],
  ["unknown pseudo-fields do not come", [...REQUEST, ":version", "2"]],
  ["a request has no status", [":status", "200", ...REQUEST]],
  ["a protocol comes with CONNECT only", [...REQUEST, ":protocol", "websocket"]],
  ["a method is a token", having(":method", "GET /")],
  ["a method is not empty", having(":method", "")],
  ["a scheme is one", having(":scheme", "ht tp")],
  ["a path is not empty", having(":path", "")],
  ["a path starts with a slash", having(":path", "a")],
  ["a path is not a URI", having(":path", "http://example.com/")],
  ["a path has no fragment", having(":path", "/a#b")],
  ["a path has no blank", having(":path", "/a b")],
  ["a path has no control bytes", having(":path", "/a\u0000")],
  ["a path has no line end", having(":path", "/ HTTP/1.1\r\nx:y")],
  ["a path has no delete", having(":path", "/\u007f")],
  ["a path is ASCII", having(":path", "/\u00e4")],
  ["a path has no backslash", having(":path", "/a\\b")],
  ["the asterisk is for OPTIONS", having(":path", "*")],
  ["an authority names no user", having(":authority", "me@example.com")],
  ["an authority is not empty", having(":authority", "")],
  ["an authority has no path", having(":authority", "example.com/a")],
  ["an authority has no blank", having(":authority", "example.com x")],
  ["a port is one", having(":authority", "example.com:99999")],
  ["host agrees with the authority", [...REQUEST, "host", "other.example.com"]],
  ["host has the authority's port", [...REQUEST, "host", "example.com:80"]],
  ["host comes once", [...REQUEST, "host", "example.com", "host", "example.com"]],
  ["names are not empty", [...REQUEST, "", "x"]],
  ["names have no capitals", [...REQUEST, "Accept", "x"]],
  ["names are tokens", [...REQUEST, "a b", "x"]],
  ["names have no colon", [...REQUEST, "a:b", "x"]],
  ["names are ASCII", [...REQUEST, "\u00e4", "x"]],
  ["values have no NUL", [...REQUEST, "a", "x\u0000y"]],
  ["values have no CR", [...REQUEST, "a", "x\ry"]],
  ["values have no LF", [...REQUEST, "a", "x\nhost: y"]],
  ["values have no other control bytes", [...REQUEST, "a", "x\u0001y"]],
  ["values have no blank before them", [...REQUEST, "a", " x"]],
  ["values have no tab after them", [...REQUEST, "a", "x\t"]],
  ["a cookie is a value", [...REQUEST, "cookie", "a=\n"]],
  ["connection does not come", [...REQUEST, "connection", "close"]],
  ["keep-alive does not come", [...REQUEST, "keep-alive", "1"]],
  ["proxy-connection does not come", [...REQUEST, "proxy-connection", "close"]],
  ["transfer-encoding does not come", [...REQUEST, "transfer-encoding", "chunked"]],
  ["upgrade does not come", [...REQUEST, "upgrade", "websocket"]],
  ["te speaks of trailers only", [...REQUEST, "te", "gzip"]],
  ["a length is a number", [...REQUEST, "content-length", "+1"]],
  ["a length is one number", [...REQUEST, "content-length", "1, 1"]],
  ["a length is a safe number", [...REQUEST, "content-length", "1".repeat(16)]],
  ["a length comes once", [...REQUEST, "content-length", "1", "content-length", "1"]],
  ["nothing is expected but 100-continue", [...REQUEST, "expect", "200-ok"]],
  ["CONNECT has no path", [...CONNECT, ":path", "/"]],
  ["CONNECT has no scheme", [...CONNECT, ":scheme", "http"]],
  ["CONNECT names a port", [":method", "CONNECT", ":authority", "example.com"]],
  ["CONNECT has no length", [...CONNECT, "content-length", "1"]],
  ["extended CONNECT has a path", EXTENDED.filter((_, i) => EXTENDED[i - (i % 2)] !== ":path")],
  ["extended CONNECT has a scheme", EXTENDED.filter((_, i) => EXTENDED[i - (i % 2)] !== ":scheme")],
];

for (const [rule, fields] of MALFORMED_REQUESTS) {
  test(`${rule}: the request is malformed`, () => {
    assert.equal(build(fields).request("allowed"), undefined);
  });
}

test("a request is told without pseudo-fields, host, length and expectation", () => {
  const fields = ["accept", "*/*", "host", "EXAMPLE.com", "te", "trailers", "content-length", "10"];
  assert.deepEqual(build([...REQUEST, ...fields, "expect", "100-Continue"]).request("refused"), {
    method: "GET",
    scheme: "http",
    path: "/",
    authority: "example.com",
    fields: ["accept", "*/*", "te", "trailers"],
    contentLength: 10,
    expectContinue: true,
  });
});

test("pseudo-fields come in any order, and host stands in for an authority", () => {
  const fields = fieldLines(":path: /a?b=|", ":scheme: https", ":method: PUT", "host: [::1]:80");
  const head = build(fields).request("refused");
  assert.deepEqual([head?.method, head?.path, head?.authority], ["PUT", "/a?b=|", "[::1]:80"]);
});

test("crumbs of a cookie are joined where the first one stood", () => {
  const fields = ["cookie", "a=1", "accept", "*/*", "cookie", "b=2", "cookie", "c=3"];
  assert.deepEqual(
    build([...REQUEST, ...fields]).request("refused")?.fields,
    fieldLines("cookie: a=1; b=2; c=3", "accept: */*"),
  );
});

test("values may be empty, and hold tabs and what was once latin1", () => {
  const fields = ["a", "", "b", "x\ty", "c", "\u00e4\u00ff"];
  assert.deepEqual(build([...REQUEST, ...fields]).request("refused")?.fields, fields);
});

test("OPTIONS may be about the whole server", () => {
  const head = build([":method", "OPTIONS", ...having(":path", "*").slice(2)]).request("refused");
  assert.equal(head?.path, "*");
});

test("extended CONNECT is for servers that allow it", () => {
  assert.equal(build(EXTENDED).request("allowed")?.upgrade, "websocket");
  assert.equal(build(EXTENDED).request("refused"), undefined);
  assert.equal(build(CONNECT).request("refused")?.path, "");
});

const MALFORMED_RESPONSES: readonly (readonly [rule: string, fields: readonly string[]])[] = [
  ["a status is required", ["server", "x"]],
  ["a status has three digits", [":status", "0200"]],
  ["a status is not below 100", [":status", "099"]],
  ["a status comes once", [":status", "200", ":status", "200"]],
  ["a status comes first", ["server", "x", ":status", "200"]],
  ["a response has no path", [":status", "200", ":path", "/"]],
  ["a response has no host", [":status", "200", "host", "x"]],
  ["there is no switching of protocols", [":status", "101"]],
  ["connection does not come", [":status", "200", "connection", "close"]],
];
for (const [rule, fields] of MALFORMED_RESPONSES) {
  test(`${rule}: the response is malformed`, () => {
    assert.equal(build(fields).response(), undefined);
  });
}

test("a response is told without its length", () => {
  assert.deepEqual(build([":status", "206", "content-length", "0", "etag", "x"]).response(), {
    status: 206,
    fields: ["etag", "x"],
    contentLength: 0,
  });
});

test("trailers are fields only, and nothing that frames or routes", () => {
  assert.deepEqual(build(["grpc-status", "0"]).trailers(), ["grpc-status", "0"]);
  assert.deepEqual(build([]).trailers(), []);
  const wrong = [":status", ":path", "host", "content-length", "transfer-encoding", "expect"];
  for (const name of wrong) assert.equal(build([name, "1"]).trailers(), undefined);
});

// What we accept, Node's own parser (llhttp, strict) accepts with the same reading: requests and
// responses of the smuggling table and ordinary ones, whole and mutated. We may be stricter.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import fc from "fast-check";
import { transcribe } from "./h1-case-transcript.ts";
import { roleOf } from "./h1-field-names.ts";
import { REQUESTS, RESPONSES } from "./h1-parser.ts";
import { SMUGGLING_CASES } from "./h1-smuggling-cases.ts";

interface Read {
  readonly line: string;
  readonly fields: readonly string[];
  body: string;
  /** llhttp stops here: another protocol follows. */
  readonly upgrade: boolean;
  isComplete: boolean;
}

/** The part of Node's internal class that is used here. */
interface NodeParser {
  initialize(type: number, resource: object, maxHeaderBytes: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
  [callback: number]: (...values: never[]) => number | undefined;
}
interface NodeParserClass {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}
const { HTTPParser, methods } = createRequire(import.meta.url)("node:_http_common") as {
  readonly HTTPParser: NodeParserClass;
  readonly methods: readonly string[];
};

const ORDINARY = [
  "GET /a?b=c HTTP/1.1\r\nHost: a.b:80\r\nUser-Agent: x/1\r\nAccept: */*\r\n\r\n",
  "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
  "GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X\r\nX: 1\r\nTE: trailers\r\n\r\n",
  "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
  "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
];
const SHORT_CASES = SMUGGLING_CASES.filter(({ bytes }) => bytes.length < 1_000);
/** Those that we accept come more often: only they are compared. */
const ACCEPTED = [
  ...ORDINARY,
  ...SHORT_CASES.filter(({ outcome }) => outcome.kind === "one").map(({ bytes }) => bytes),
];
const REQUEST_CORPUS = [
  ...SHORT_CASES.map(({ bytes }) => bytes),
  ...Array.from({ length: 20 }, () => ACCEPTED).flat(),
];
const RESPONSE_CORPUS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
  "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil close",
  "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
  "HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
];
const BITS = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ",",
  ";",
  "0",
  "5",
  "+",
  "-",
  "_",
  "x",
  "=",
];
const LINES = [
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Host: a\r\n",
  "A: b\r\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
];

/** Where (as a share of the text), how much goes, and what comes there. */
const mutation = fc.tuple(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(3)),
  fc.oneof(
    fc.constantFrom("", ...BITS),
    fc.constantFrom(...LINES),
    fc.nat(255).map((code) => String.fromCharCode(code)),
  ),
);

function mutants(corpus: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...corpus), fc.array(mutation, { maxLength: 3 }))
    .map(([text, mutations]) =>
      mutations.reduce((before, [share, gone, come]) => {
        const at = Math.round(share * before.length);
        return before.slice(0, at) + come + before.slice(at + gone);
      }, text),
    );
}

test("requests that we accept, llhttp reads alike", () => {
  for (const bytes of new Set(REQUEST_CORPUS)) compareRequests(bytes);
  fc.assert(fc.property(mutants(REQUEST_CORPUS), compareRequests), { numRuns: 5_000 });
});

test("responses that we accept, llhttp reads alike", () => {
  for (const bytes of RESPONSE_CORPUS) compareResponses(bytes);
  fc.assert(fc.property(mutants(RESPONSE_CORPUS), compareResponses), { numRuns: 2_000 });
});

test("mutants tell the same whole and in pieces", () => {
  fc.assert(
    fc.property(mutants(REQUEST_CORPUS), fc.nat(), (bytes, place) => {
      const at = place % (bytes.length + 1);
      const whole = transcribe(REQUESTS, [bytes], { closes: true });
      const halves = [bytes.slice(0, at), bytes.slice(at)];
      const { messages, problem } = transcribe(REQUESTS, halves, { closes: true });
      if (whole.state === "switching") return;
      assert.deepEqual({ messages, problem }, { messages: whole.messages, problem: whole.problem });
    }),
    { numRuns: 3_000 },
  );
});

/** llhttp refuses a tab behind a framing value, which is grammatical (RFC 9112 §5) and harmless. */
const NODE_IS_STRICTER = /^(transfer-encoding|content-length):[^\r]*\t\r/im;

function compareRequests(bytes: string): void {
  if (NODE_IS_STRICTER.test(bytes)) return;
  const { messages } = transcribe(REQUESTS, [bytes], { closes: true });
  const ours = messages
    .filter(({ trailers }) => trailers !== undefined)
    .map(({ head, body }) => ({ ...head, body }));
  // Node knows a fixed list of methods; we leave them to the backend.
  const known = ours.findIndex(({ method }) => !methods.includes(method));
  const theirs = readByNode(bytes, HTTPParser.REQUEST);
  for (const [i, { method, authority, path, fields, body }] of ours.entries()) {
    if (i === known) return;
    const their = theirs[i];
    assert(their?.isComplete, `llhttp does not read request ${i}: ${JSON.stringify(bytes)}`);
    const target = their.line.slice(method.length + 1).replace(/^http:\/\/[^/?]*/i, "");
    const normal = target.startsWith("/") || target === "*" ? target : `/${target}`;
    assert.equal(their.line.slice(0, method.length), method);
    if (method === "CONNECT") assert.equal(target, authority);
    else if (path !== "*") assert.equal(normal, path);
    assert.deepEqual(their.fields, fields);
    assert.equal(their.body, body);
    if (their.upgrade) return;
  }
}

function compareResponses(bytes: string): void {
  if (NODE_IS_STRICTER.test(bytes)) return;
  const { messages } = transcribe(RESPONSES, [bytes], {
    asked: [{ method: "GET" }],
    closes: true,
  });
  const theirs = readByNode(bytes, HTTPParser.RESPONSE);
  for (const [i, { head, body, trailers }] of messages.entries()) {
    if (trailers === undefined && head.status >= 200) return;
    const their = theirs[i];
    assert(their?.isComplete, `llhttp does not read response ${i}: ${JSON.stringify(bytes)}`);
    assert.equal(their.line, String(head.status));
    assert.deepEqual(their.fields, head.fields);
    assert.equal(their.body, body);
  }
}

function readByNode(bytes: string, type: number): Read[] {
  const reads: Read[] = [];
  let early: string[] = [];
  let earlyTarget = "";
  const parser = new HTTPParser();
  parser.initialize(type, {}, 128 * 1024);
  parser[HTTPParser.kOnHeaders] = (fields: string[], target: string) => {
    early.push(...fields);
    earlyTarget += target;
    return undefined;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    fields: string[] | undefined,
    method: number,
    target: string | undefined,
    status: number,
    _reason: string,
    upgrade: boolean,
  ) => {
    const line =
      type === HTTPParser.REQUEST ? `${methods[method]} ${target ?? earlyTarget}` : `${status}`;
    const lines = forwarded(fields ?? early);
    reads.push({ line, fields: lines, body: "", upgrade, isComplete: false });
    return 0;
  };
  parser[HTTPParser.kOnBody] = (part: Buffer) => {
    const read = reads.at(-1);
    if (read !== undefined) read.body += part.toString("latin1");
    return undefined;
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const read = reads.at(-1);
    if (read !== undefined) read.isComplete = true;
    early = [];
    earlyTarget = "";
    return undefined;
  };
  if (typeof parser.execute(Buffer.from(bytes, "latin1")) === "number") parser.finish();
  return reads;
}

/** Node's flat fields as we forward them. */
function forwarded(raw: readonly string[]): string[] {
  const pairs = raw.flatMap((name, i) =>
    i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ""] as const] : [],
  );
  const named = pairs
    .filter(([name]) => name === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(","))
    .map((option) => option.trim());
  return pairs
    .filter(([name]) => {
      const role = roleOf(name);
      return role === "control" || (role === "plain" && !named.includes(name));
    })
    .flatMap(([name, value]) => [name, value.replace(/^[ \t]+|[ \t]+$/g, "")]);
}

// A route that refuses a path cannot be passed by another spelling of it (F52), in either version of
// HTTP; and what HTTP/2 lets a client say does not become another request in HTTP/1.1 (F48).

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  data,
  END_STREAM,
  fieldLines,
  frame,
  headers,
  PREFACE_TEXT,
} from "../../lib/http/h2-case-peer.ts";
import { FRAME } from "../../lib/http/h2-frame.ts";
import { HpackDecoder } from "../../lib/http/hpack-decoder.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { BackendEcho } from "./fault-backend-protocol.ts";
import { FaultRig, measured } from "./fault-rig.ts";

const WEB = 1;
const POD = "pod-1-2";

const SPELLINGS = [
  "/admin",
  "/admin/",
  "/admin/x",
  "//admin",
  "///admin//x",
  "/./admin",
  "/.//admin",
  "/x/../admin",
  "/x/y/../../admin/x",
  "/%61dmin",
  "/%61%64%6d%69%6e",
  "/%61%64%6D%69%6E/x",
  "/x/%2e%2e/admin",
  "/x/%2E%2E/admin",
  "/%2e/admin",
  "/x/.%2e/admin",
  "/admin?x",
  "/admin%2f",
  "/%2fadmin",
  "/x%2f..%2fadmin",
  "/x/..%2fadmin",
  "/admin%5cx",
  "/\\admin",
  "/x/..;/admin",
  "/x/..;a=b/admin",
  "/admin;x",
  "/;/admin",
  "/admin#x",
  "/x#/../admin",
  "/%00/../admin",
  "/admin%00",
  "/%2561dmin",
  "/%u0061dmin",
  "/adm%69n/..%2f",
  "http://web.default/admin",
  "http://web.default//admin",
  "http://web.default/x/../admin",
] as const;

const HOSTS = ["web.default", "WEB.default", "web.default.", "web.default:80", "Web.Default.:80"];

describe("spellings and translations in the L7 lane", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({ podsPerNode: 2, backends: { [POD]: "http1" } });
    const redirect = { hostname: "guarded.example", statusCode: 302 };
    await rig.put({ [WEB]: { pods: [POD] } }, [
      caseRoute(WEB, {
        hostnames: ["web.default"],
        rules: [
          {
            matches: [{ path: { type: "PathPrefix", value: "/admin" } }],
            filters: [{ type: "RequestRedirect", requestRedirect: redirect }],
          },
          { backendRefs: [caseBackend(WEB)] },
        ],
      }),
    ]);
    await rig.start(WEB);
  });
  after(() => rig[Symbol.asyncDispose]());

  async function raw(bytes: string, until?: string) {
    const request = { ...rig.target(WEB), writes: [{ bytes }], forMs: 3_000 };
    return rig
      .client("client")
      .call("exchange", until === undefined ? request : { ...request, until });
  }

  /** @returns the status, and what the backend saw if it saw anything */
  async function ask(target: string, host: string): Promise<[number, BackendEcho | undefined]> {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const { received } = await raw(bytes);
    const [head = "", body = ""] = received.split("\r\n\r\n");
    const text = body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1);
    const echo = text === "" ? undefined : (JSON.parse(text) as BackendEcho);
    return [Number(head.slice(9, 12)), echo];
  }

  /** As the least careful backend might read it: escapes undone, twice; slashes of both kinds. */
  function carelessly(url: string): string {
    const decode = (text: string): string =>
      text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      );
    return new URL(decode(url.split("?")[0] ?? ""), "http://x").pathname.replaceAll(/\/+/g, "/");
  }

  test("no spelling of a guarded path reaches the backend as that path (F52)", async () => {
    const outcomes = new Map<string, number>();
    for (const host of HOSTS) {
      for (const target of SPELLINGS) {
        if (target.startsWith("http:") && host !== "web.default") continue;
        const [status, echo] = await ask(target, host);
        const where = `${target} of ${host}: ${status} ${echo?.url}`;
        const outcome = echo === undefined ? `${status}` : `passed as ${echo.url}`;
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        if (echo === undefined) {
          assert([302, 400].includes(status), where);
          continue;
        }
        // What comes through stands for another path in the eyes of the backend, too.
        assert(!/^\/admin(\/|$)/.test(new URL(echo.url, "http://x").pathname), where);
        assert(!/^\/admin(\/|$)/.test(carelessly(echo.url)), where);
      }
    }
    measured("spellings", Object.fromEntries(outcomes));
    assert.deepEqual([(await ask("/other", "web.default"))[0]], [200]);
  });

  test("a Host of any kind changes nothing: the dialled address says which Service it is (F52)", async () => {
    for (const host of ["other", "web.default.x", "xweb.default", "web.default:81", "10.96.1.1"]) {
      assert.deepEqual(await ask("/admin", host), [302, undefined], host);
      const [status, echo] = await ask("/x", host);
      assert.deepEqual([status, echo?.host], [200, host]);
    }
  });

  type Fields = readonly string[];
  const request = (...more: string[]): Fields =>
    fieldLines(":method: POST", ":scheme: http", ":path: /x", ":authority: web.default", ...more);
  const with_ = (name: string, value: string): Fields => {
    const fields = [...request()];
    fields[fields.indexOf(name) + 1] = value;
    return fields;
  };
  const SMUGGLED = "x\r\n\r\nGET /hidden HTTP/1.1\r\nHost: web.default\r\n\r\n";
  const TRANSLATIONS: readonly (readonly [string, Fields, string?])[] = [
    ["CRLF in a value", [...request(), "x", `y\r\nHost: z`]],
    ["a request in a value", [...request(), "x", SMUGGLED]],
    ["CRLF in a name", [...request(), "x: y\r\nz", "w"]],
    ["a colon in a name", [...request(), "transfer-encoding: chunked\r\nx", "y"]],
    ["NUL in a value", [...request(), "x", "y\0z"]],
    ["LF in a value", [...request(), "x", "y\nz"]],
    ["CRLF in :path", with_(":path", "/x HTTP/1.1\r\nHost: web.default\r\n\r\nGET /hidden")],
    ["blanks in :path", with_(":path", "/x HTTP/1.1 y")],
    ["a :path without a slash", with_(":path", "x")],
    ["an absolute :path", with_(":path", "http://other/x")],
    ["a fragment in :path", with_(":path", "/x#y")],
    ["CRLF in :method", with_(":method", "GET /hidden HTTP/1.1\r\nHost: web.default\r\n\r\nPOST")],
    ["a blank in :method", with_(":method", "GET /hidden HTTP/1.1")],
    ["CRLF in :authority", with_(":authority", "web.default\r\nX: y")],
    ["a path in :authority", with_(":authority", "web.default/x")],
    ["a user in :authority", with_(":authority", "u@web.default")],
    ["CRLF in :scheme", with_(":scheme", "http\r\n\r\nGET /hidden HTTP/1.1")],
    ["another Host beside :authority", [...request(), "host", "other"]],
    ["transfer-encoding", [...request(), "transfer-encoding", "chunked"]],
    ["connection", [...request(), "connection", "x"]],
    ["upgrade", [...request(), "upgrade", "h2c"]],
    ["te beyond trailers", [...request(), "te", "chunked"]],
    ["capitals in a name", [...request(), "X", "y"]],
    ["content-length beyond the body", [...request(), "content-length", "50"], "short"],
    ["content-length below the body", [...request(), "content-length", "1"], SMUGGLED],
    ["two content-lengths", [...request(), "content-length", "5", "content-length", "6"], "hello"],
    ["content-length with a sign", [...request(), "content-length", "+5"], "hello"],
    ["two :paths", [...request(), ":path", "/hidden"]],
    ["a pseudo-field behind others", [...request(), "x", "y", ":x", "z"]],
  ];

  test("what HTTP/2 can say and HTTP/1.1 cannot is refused; the next is answered (F48)", async () => {
    await rig.backend(POD).call("reset", {});
    const refusals = new Map<string, number>();
    for (const [name, fields, body = ""] of TRANSLATIONS) {
      const hello = [Buffer.from(PREFACE_TEXT, "latin1"), frame(FRAME.settings, 0, 0)];
      const canary = headers(3, END_STREAM, [
        ...fieldLines(":method: GET", ":scheme: http", ":path: /canary", ":authority: web.default"),
      ]);
      const sent = [...hello, headers(1, 0, fields), data(1, END_STREAM, body), canary];
      const { received } = await raw(Buffer.concat(sent).toString("latin1"), "/canary");
      const outcome = outcomeOf(Buffer.from(received, "latin1"));
      refusals.set(outcome.first, (refusals.get(outcome.first) ?? 0) + 1);
      assert.match(outcome.first, /^(400|reset \d+|goaway \d+)$/, `${name}: ${received}`);
      // A connection that was closed for it has no second request.
      if (!outcome.first.startsWith("goaway")) assert.match(received, /"url":"\/canary"/, name);
      assert(!received.includes("hidden"), name);
    }
    const counts = await rig.backend(POD).call("counts", {});
    measured("translations", { ...Object.fromEntries(refusals), requests: counts.requests });
    assert(
      counts.requests <= TRANSLATIONS.length + 2,
      "nothing but canaries, and bodies cut short",
    );
  });
});

/** What became of stream 1. */
function outcomeOf(bytes: Buffer): { readonly first: string } {
  const decoder = new HpackDecoder(1 << 16);
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    const [type, stream] = [bytes[at + 3], bytes.readUInt32BE(at + 5)];
    const [start, end] = [at + 9, at + 9 + bytes.readUIntBE(at, 3)];
    if (type === FRAME.goAway) return { first: `goaway ${bytes.readUInt32BE(at + 13)}` };
    if (type === FRAME.rstStream && stream === 1) {
      return { first: `reset ${bytes.readUInt32BE(at + 9)}` };
    }
    if (type !== FRAME.headers) continue;
    let status = "";
    decoder.decode(bytes, start, end, {
      field: ({ name, value }) => (status = name === ":status" ? value : status),
    });
    if (stream === 1) return { first: status };
  }
  return { first: "nothing" };
}

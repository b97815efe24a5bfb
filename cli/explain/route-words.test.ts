import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteFilter, RouteRule } from "../../service-proxy/model/route-table.ts";
import { actionsInWords, matchInWords } from "./route-words.ts";

const ANY: RouteRule["match"] = { hostnames: [], headers: [], queryParams: [] };

test("a match says all that it asks for, and nothing is every request", () => {
  const words = (match: Partial<RouteRule["match"]>, grpc = false): string =>
    matchInWords({ match: { ...ANY, ...match }, grpc });
  assert.equal(words({}), "every request");
  assert.equal(words({ path: { kind: "prefix", value: "/" } }), "every request");
  assert.equal(
    words({
      hostnames: ["a.example", "*.b.example"],
      path: { kind: "exact", value: "/x" },
      method: "PUT",
      headers: [{ name: "x-a", kind: "regex", value: "1+" }],
      queryParams: [{ name: "q", kind: "exact", value: "" }],
    }),
    'host a.example or *.b.example, path /x, method PUT, header x-a like "1+", query q is ""',
  );
  assert.equal(
    words({ path: { kind: "prefix", value: "/s.Prices" } }, true),
    "gRPC service s.Prices",
  );
  assert.equal(words({ path: { kind: "regex", value: "/.+/Get" } }, true), "path like /.+/Get");
});

test("every filter, limit, retry and session has words", () => {
  const filters: readonly RouteFilter[] = [
    { kind: "request-headers", change: { set: [["a", "1"]], add: [["b", "2"]], remove: ["c"] } },
    { kind: "response-headers", change: { set: [], add: [], remove: ["d"] } },
    { kind: "rewrite", hostname: "h.example", path: { kind: "prefix", value: "/new" } },
    { kind: "mirror", group: "shop/b:80 IPv4", share: 0.125 },
    {
      kind: "cors",
      policy: {
        allowOrigins: ["https://a.example"],
        allowCredentials: false,
        allowMethods: [],
        allowHeaders: [],
        exposeHeaders: [],
        maxAgeSeconds: 5,
      },
    },
    {
      kind: "redirect",
      scheme: "https",
      hostname: "s.example",
      port: 8443,
      path: { kind: "full", value: "/y" },
      status: 308,
    },
  ];
  assert.deepEqual(
    actionsInWords({
      filters,
      timeouts: { requestMs: 0, backendRequestMs: 500 },
      retry: { attempts: 2, statusCodes: [502, 503], backoffMs: 100 },
      sessionPersistence: { kind: "cookie", name: "s", permanent: false },
    }),
    [
      'set request header a to "1"',
      'add request header b "2"',
      "remove request header c",
      "remove response header d",
      "rewrite host to h.example",
      "rewrite prefix to /new",
      "mirror 12.5 % to shop/b:80 IPv4",
      "CORS for https://a.example",
      "redirect 308 to scheme https, host s.example, port 8443, path /y",
      "request without time limit",
      "each attempt within 500 ms",
      "tried again up to 2× of 502, 503, 100 ms apart",
      "sessions kept by cookie s",
    ],
  );
});

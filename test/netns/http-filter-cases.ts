// What filters of HTTPRoute do to requests and responses, seen from both ends.

import type { RouteCase } from "./http-route-case.ts";
import { V1_POD, V2_POD } from "./http-rig.ts";
import { type Json, path, rule } from "./http-route-rules.ts";

const requestHeaders = (change: Json): Json => ({
  type: "RequestHeaderModifier",
  requestHeaderModifier: change,
});
const responseHeaders = (change: Json): Json => ({
  type: "ResponseHeaderModifier",
  responseHeaderModifier: change,
});
const redirect = (requestRedirect: Json): Json => ({ type: "RequestRedirect", requestRedirect });
const rewrite = (urlRewrite: Json): Json => ({ type: "URLRewrite", urlRewrite });
const fullPath = (value: string): Json => ({ type: "ReplaceFullPath", replaceFullPath: value });
const prefixPath = (value: string): Json => ({
  type: "ReplacePrefixMatch",
  replacePrefixMatch: value,
});
const redirecting = (from: string, change: Json): Json => ({
  matches: [path(from)],
  filters: [redirect(change)],
});
const HOST = { host: "shop.example" };
const found = (location: string, status = 302) => ({ status, got: { location } });

export const FILTER_CASES: readonly RouteCase[] = [
  {
    name: "request headers are set, added and removed",
    routes: [
      {
        rules: [
          rule(undefined, "v1", {
            filters: [
              requestHeaders({
                set: [{ name: "X-Set", value: "new" }],
                add: [{ name: "x-add", value: "more" }],
                remove: ["x-gone"],
              }),
            ],
          }),
        ],
      },
    ],
    requests: [
      {
        headers: { "x-set": "old", "x-add": "some", "X-Gone": "here", "x-kept": "1" },
        expect: {
          pod: V1_POD,
          saw: { "x-set": "new", "x-add": "some, more", "x-gone": null, "x-kept": "1" },
        },
      },
      { protocol: "http2", expect: { saw: { "x-set": "new", "x-add": "more" } } },
    ],
  },
  {
    name: "response headers are set, added and removed",
    routes: [
      {
        rules: [
          rule(undefined, "v1", {
            filters: [
              responseHeaders({
                set: [{ name: "x-set", value: "new" }],
                add: [{ name: "x-add", value: "more" }],
                remove: ["x-gone"],
              }),
            ],
          }),
        ],
      },
    ],
    requests: [
      {
        headers: { "x-behave": "header=x-set:old&header=x-add:some&header=x-gone:1" },
        expect: { pod: V1_POD, got: { "x-set": "new", "x-add": "some, more", "x-gone": null } },
      },
    ],
  },
  {
    name: "a backend's own filters are for its requests alone, after the rule's",
    routes: [
      {
        rules: [
          {
            matches: [path("/v1")],
            filters: [requestHeaders({ set: [{ name: "x-rule", value: "rule" }] })],
            backendRefs: [
              {
                name: "v1",
                port: 80,
                filters: [
                  requestHeaders({
                    set: [{ name: "x-to", value: "v1" }],
                    add: [{ name: "x-rule", value: "backend" }],
                  }),
                  responseHeaders({ set: [{ name: "x-from", value: "v1" }] }),
                ],
              },
            ],
          },
          rule(path("/v2"), "v2"),
        ],
      },
    ],
    requests: [
      {
        path: "/v1",
        expect: {
          pod: V1_POD,
          saw: { "x-to": "v1", "x-rule": "rule, backend" },
          got: { "x-from": "v1" },
        },
      },
      { path: "/v2", expect: { pod: V2_POD, saw: { "x-to": null }, got: { "x-from": null } } },
    ],
  },
  {
    name: "redirects change scheme, host, port and path, and keep the rest",
    routes: [
      {
        rules: [
          redirecting("/host", { hostname: "example.org" }),
          redirecting("/scheme", { scheme: "https" }),
          redirecting("/port", { port: 8083 }),
          redirecting("/both", { scheme: "https", port: 8443 }),
          redirecting("/full", { path: fullPath("/whole") }),
          redirecting("/prefix", { path: prefixPath("/other") }),
          redirecting("/top", { path: prefixPath("/") }),
        ],
      },
    ],
    requests: [
      { path: "/host/x?q=1", headers: HOST, expect: found("http://example.org/host/x?q=1") },
      { path: "/scheme", headers: HOST, expect: found("https://shop.example/scheme") },
      { path: "/port", headers: HOST, expect: found("http://shop.example:8083/port") },
      { path: "/both", headers: HOST, expect: found("https://shop.example:8443/both") },
      { path: "/full/x?q=1", headers: HOST, expect: found("http://shop.example/whole?q=1") },
      { path: "/prefix/x?q=1", headers: HOST, expect: found("http://shop.example/other/x?q=1") },
      { path: "/prefix", headers: HOST, expect: found("http://shop.example/other") },
      { path: "/top/x", headers: HOST, expect: found("http://shop.example/x") },
    ],
  },
  {
    name: "redirects have the status that the route says",
    routes: [
      {
        rules: [301, 302, 303, 307, 308].map((statusCode) =>
          redirecting(`/${statusCode}`, { hostname: "example.org", statusCode }),
        ),
      },
    ],
    requests: [301, 302, 303, 307, 308].map((status) => ({
      path: `/${status}`,
      method: "POST",
      body: "left unread",
      expect: found(`http://example.org/${status}`, status),
    })),
  },
  {
    name: "the host is rewritten",
    routes: [
      { rules: [rule(undefined, "v1", { filters: [rewrite({ hostname: "one.example" })] })] },
    ],
    requests: [
      { path: "/a?b", headers: HOST, expect: { host: "one.example", path: "/a?b" } },
      {
        headers: HOST,
        expect: { saw: { "x-forwarded-host": "shop.example", host: "one.example" } },
      },
    ],
  },
  {
    name: "the path is rewritten, whole or by its prefix",
    routes: [
      {
        rules: [
          rule(path("/full"), "v1", { filters: [rewrite({ path: fullPath("/one") })] }),
          rule(path("/prefix"), "v1", { filters: [rewrite({ path: prefixPath("/two") })] }),
          rule(path("/cut"), "v1", { filters: [rewrite({ path: prefixPath("/") })] }),
          rule(path("/all"), "v1", {
            filters: [
              rewrite({ hostname: "one.example", path: prefixPath("/deep/er") }),
              requestHeaders({ add: [{ name: "x-too", value: "yes" }] }),
            ],
          }),
        ],
      },
    ],
    requests: [
      { path: "/full/x?q=1", expect: { path: "/one?q=1" } },
      { path: "/prefix/x?q=1", expect: { path: "/two/x?q=1" } },
      { path: "/prefix", expect: { path: "/two" } },
      { path: "/cut/x", expect: { path: "/x" } },
      { path: "/cut", expect: { path: "/" } },
      {
        path: "/all/x",
        expect: { path: "/deep/er/x", host: "one.example", saw: { "x-too": "yes" } },
      },
    ],
  },
  {
    name: "a preflight is answered by the policy, and the backend's own CORS fields are gone",
    routes: [
      {
        rules: [
          rule(undefined, "v1", {
            filters: [
              {
                type: "CORS",
                cors: {
                  allowOrigins: ["https://a.example", "https://*.b.example"],
                  allowCredentials: true,
                  allowMethods: ["GET", "PUT"],
                  allowHeaders: ["x-one", "x-two"],
                  exposeHeaders: ["x-shown"],
                  maxAge: 60,
                },
              },
            ],
          }),
        ],
      },
    ],
    requests: [
      {
        method: "OPTIONS",
        headers: { origin: "https://a.example", "access-control-request-method": "PUT" },
        expect: {
          status: 204,
          got: {
            "access-control-allow-origin": "https://a.example",
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "GET, PUT",
            "access-control-allow-headers": "x-one, x-two",
            "access-control-max-age": "60",
          },
        },
      },
      {
        method: "OPTIONS",
        headers: { origin: "https://c.example", "access-control-request-method": "PUT" },
        expect: { status: 204, got: { "access-control-allow-origin": null } },
      },
      {
        headers: {
          origin: "https://x.y.b.example",
          "x-behave": "header=access-control-allow-origin:*",
        },
        expect: {
          pod: V1_POD,
          got: {
            "access-control-allow-origin": "https://x.y.b.example",
            "access-control-expose-headers": "x-shown",
            vary: "origin",
          },
        },
      },
      {
        headers: { origin: "https://c.example" },
        expect: { pod: V1_POD, got: { "access-control-allow-origin": null } },
      },
      { method: "OPTIONS", expect: { pod: V1_POD, method: "OPTIONS" } },
    ],
  },
];

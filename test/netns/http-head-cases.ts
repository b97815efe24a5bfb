// What the proxy does to heads by itself: who asked, which request and trace it is, fields of one
// hop, and the way from one version of HTTP to the other.

import { H2C_PORT } from "./http-manifests.ts";
import { V1_POD, V2_POD } from "./http-rig.ts";
import type { RouteCase } from "./http-route-case.ts";
import { below, path, rule } from "./http-route-rules.ts";

export const HEAD_CASES: readonly RouteCase[] = [
  {
    name: "what a client claims about others is dropped, who it is and what was asked is added",
    routes: [{ rules: [rule(undefined, "v1")] }],
    requests: [
      {
        headers: {
          host: "shop.example:8080",
          forwarded: "for=1.2.3.4",
          "x-forwarded-for": "1.2.3.4",
          "x-forwarded-proto": "https",
          "x-forwarded-anything": "x",
          "x-real-ip": "1.2.3.4",
        },
        expect: {
          host: "shop.example:8080",
          saw: {
            forwarded: null,
            "x-real-ip": null,
            "x-forwarded-anything": null,
            "x-forwarded-for": "10.71.1.2",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "shop.example:8080",
            "x-forwarded-port": "80",
          },
        },
      },
      { family: "ip6", expect: { saw: { "x-forwarded-for": "fd71:0:0:1::2" } } },
      {
        from: "client",
        to: "nodePort",
        headers: { "x-forwarded-for": "1.2.3.4" },
        expect: { saw: { "x-forwarded-for": "192.168.77.2" } },
      },
    ],
  },
  {
    name: "request ids and traces of others are passed on, bad ones are not",
    routes: [{ rules: [rule(undefined, "v1")] }],
    requests: [
      {
        headers: {
          "x-request-id": "abc-123",
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          tracestate: "a=b",
        },
        expect: {
          saw: {
            "x-request-id": "abc-123",
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            tracestate: "a=b",
          },
        },
      },
      {
        headers: { traceparent: "junk", tracestate: "a=b" },
        expect: { saw: { tracestate: null } },
      },
    ],
  },
  {
    name: "fields of one hop are not passed on",
    routes: [{ rules: [rule(undefined, "v1")] }],
    requests: [
      {
        headers: {
          connection: "keep-alive, x-hop",
          "x-hop": "1",
          "keep-alive": "timeout=5",
          "proxy-connection": "keep-alive",
          te: "gzip",
        },
        expect: { saw: { "x-hop": null, "keep-alive": null, "proxy-connection": null } },
      },
    ],
  },
  {
    name: "HTTP/2 to HTTP/1.1 and back: heads lose nothing but what one hop is about",
    routes: [
      {
        rules: [
          rule(path("/h1"), "v1"),
          { ...below("/h2"), backendRefs: [{ name: "v2", port: H2C_PORT }] },
        ],
      },
    ],
    requests: [
      {
        path: "/h1?x=1",
        protocol: "http2",
        headers: { host: "a.example", cookie: "a=1; b=2", "x-a": "1" },
        expect: {
          pod: V1_POD,
          path: "/h1?x=1",
          host: "a.example",
          saw: { cookie: "a=1; b=2", "x-a": "1" },
        },
      },
      {
        path: "/h2?x=1",
        headers: { host: "b.example", "X-A": "1", connection: "keep-alive, x-b", "x-b": "1" },
        expect: {
          pod: V2_POD,
          path: "/h2?x=1",
          host: "b.example",
          saw: { "x-a": "1", "x-b": null, connection: null },
        },
      },
      {
        path: "/h2",
        protocol: "http2",
        method: "POST",
        body: "hello",
        expect: { pod: V2_POD, method: "POST" },
      },
    ],
  },
];

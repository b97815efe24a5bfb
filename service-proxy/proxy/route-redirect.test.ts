// Where redirects lead: scheme, host, port and path each by the rules of the Gateway API.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "../../lib/http/message.ts";
import type { RouteFilter } from "../model/route-table.ts";
import { type RedirectContext, redirectTo } from "./route-redirect.ts";
import { filterRule, sampleHead } from "./sample-rules.ts";

type Redirect = Extract<RouteFilter, { kind: "redirect" }>;

interface Case {
  readonly name: string;
  readonly redirect?: Partial<Redirect>;
  readonly head?: Partial<RequestHead>;
  readonly context?: Partial<RedirectContext>;
  readonly location: string;
}

const CASES: readonly Case[] = [
  { name: "nothing said: the same place", location: "http://web.shop/a/b?c=d" },
  {
    name: "the dialled port stays",
    context: { port: 8080 },
    location: "http://web.shop:8080/a/b?c=d",
  },
  {
    name: "the port of the Host field does not count",
    head: { authority: "web.shop:81" },
    location: "http://web.shop/a/b?c=d",
  },
  {
    name: "a scheme brings its port along",
    redirect: { scheme: "https" },
    context: { port: 8080 },
    location: "https://web.shop/a/b?c=d",
  },
  {
    name: "from HTTPS to HTTP",
    redirect: { scheme: "http" },
    context: { scheme: "https", port: 443 },
    location: "http://web.shop/a/b?c=d",
  },
  {
    name: "a port that is said is kept",
    redirect: { port: 8443, scheme: "https" },
    location: "https://web.shop:8443/a/b?c=d",
  },
  {
    name: "a port that the scheme implies is left out",
    redirect: { port: 443, scheme: "https" },
    location: "https://web.shop/a/b?c=d",
  },
  {
    name: "port 443 of HTTP is not implied",
    redirect: { port: 443 },
    location: "http://web.shop:443/a/b?c=d",
  },
  {
    name: "another host",
    redirect: { hostname: "x.example" },
    context: { port: 81 },
    location: "http://x.example:81/a/b?c=d",
  },
  {
    name: "a prefix in another's place",
    redirect: { path: { kind: "prefix", value: "/x" } },
    location: "http://web.shop/x/b?c=d",
  },
  {
    name: "another path",
    redirect: { path: { kind: "full", value: "/x" } },
    location: "http://web.shop/x?c=d",
  },
  {
    name: "an IPv6 host",
    head: { authority: "[fd00::1]:81" },
    location: "http://[fd00::1]/a/b?c=d",
  },
  { name: "no host: relative", head: { authority: "" }, location: "/a/b?c=d" },
  { name: "OPTIONS *", head: { path: "*" }, location: "http://web.shop/" },
];
for (const { name, redirect, head, context, location } of CASES) {
  test(`redirect, ${name}`, () => {
    const filter: Redirect = { kind: "redirect", status: 302, ...redirect };
    const answer = redirectTo(sampleHead("/a/b?c=d", head), filter, filterRule(filter, "/a"), {
      scheme: "http",
      port: 80,
      ...context,
    });
    assert.deepEqual(answer, {
      status: 302,
      fields: ["location", location, "content-length", "0"],
    });
  });
}

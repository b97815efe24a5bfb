import assert from "node:assert/strict";
import { test } from "node:test";
import { backendsForName } from "./tls-route.ts";

const hostnames = ["*.example.com", "*", "shop.example.com", "*.eu.example.com"];
const routes = hostnames.map((hostname) => ({
  hostname,
  backends: [{ group: hostname, weight: 1 }],
}));

function chosen(name: string | undefined, among = routes): string | undefined {
  return backendsForName(among, name)?.[0]?.group;
}

test("the name itself wins, then the longest wildcard, then the one for all", () => {
  assert.equal(chosen("shop.example.com"), "shop.example.com");
  assert.equal(chosen("a.eu.example.com"), "*.eu.example.com");
  assert.equal(chosen("b.a.example.com"), "*.example.com");
  assert.equal(chosen("eu.example.com"), "*.example.com");
  assert.equal(chosen("example.org"), "*");
});

test("a wildcard needs a label of its own, and the dot before it", () => {
  const only = routes.slice(0, 1);
  assert.equal(chosen("example.com", only), undefined);
  assert.equal(chosen(".example.com", only), undefined);
  assert.equal(chosen("shopexample.com", only), undefined);
});

test("a client that names nobody is served by the route for all, or by none", () => {
  assert.equal(chosen(undefined), "*");
  assert.equal(chosen(undefined, routes.slice(2)), undefined);
});

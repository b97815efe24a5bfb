import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERYTHING } from "../../lib/kube/api/label-selector.ts";
import type { IdentityQuery } from "../model/policy.ts";
import { identityMembers, membersFor } from "./identity-group.ts";

const WEB = { matchLabels: { tier: "front" }, matchExpressions: [] };
const account = {
  kind: "ServiceAccount",
  namespace: "shop",
  name: "web",
  uid: "u",
  resourceVersion: "1",
  labels: { tier: "front" },
} as const;
const source = {
  trustDomain: "cluster.local",
  namespaces: new Map([["shop", { labels: { tier: "front" } }]]),
  serviceAccounts: new Map([["shop", [account]]]),
};

test("of another trust domain only names are known: labels there are nobody's", () => {
  const trustDomain = "b.example";
  const shop = { kind: "named", name: "shop" } as const;
  const queries: readonly IdentityQuery[] = [
    { trustDomain, namespaces: shop, labels: WEB },
    { trustDomain, namespaces: { kind: "labelled", selector: WEB }, labels: EVERYTHING },
  ];
  for (const query of queries) {
    assert.deepEqual([...identityMembers(query, source)], []);
    const own = { ...query, trustDomain: "cluster.local" };
    assert.equal(identityMembers(own, source).size, 1);
  }
});

test("an identity has a member for each way to choose it by names, and a bad URI none", () => {
  assert.deepEqual(membersFor("spiffe://b.example/ns/shop/sa/web"), [
    "spiffe://b.example/ns/shop/sa/web",
    "spiffe://b.example/ns/*/sa/web",
    "spiffe://b.example/ns/shop/sa/*",
    "spiffe://b.example/ns/*/sa/*",
  ]);
  for (const uri of ["", "spiffe://b.example/ns/*/sa/web", "spiffe://b.example/ns/shop/sa/web/x"]) {
    assert.deepEqual(membersFor(uri), []);
  }
});

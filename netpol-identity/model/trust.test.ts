import assert from "node:assert/strict";
import { test } from "node:test";
import { encodePem } from "../../lib/x509/pem.ts";
import { makeSampleRoot } from "../../lib/x509/sample-certificate.ts";
import { BANS_KEY, NO_TRUST, parseTrust, rootsKey } from "./trust.ts";

const root = encodePem(makeSampleRoot().der);

test("roots are read by trust domain, and bans beside them", () => {
  const bans = [{ node: "node-a", untilMs: 5 }];
  const data = { [rootsKey("cluster.local")]: root + root, [BANS_KEY]: JSON.stringify(bans) };
  const bundles = new Map([["cluster.local", [root, root]]]);
  assert.deepEqual(parseTrust({ ...data, version: "3" }), { bundles, bans });
  assert.deepEqual(parseTrust({}), NO_TRUST);
});

test("a root that nobody can read vouches for nobody, and the others count on", () => {
  const broken = encodePem(Buffer.from("no certificate"));
  const { bundles } = parseTrust({
    [rootsKey("cluster.local")]: broken + root,
    [rootsKey("other.example")]: broken,
  });
  assert.deepEqual(
    [...bundles],
    [
      ["cluster.local", [root]],
      ["other.example", []],
    ],
  );
});

test("bans that nobody can read are none", () => {
  for (const text of ["", "{", "{}", '[{"node":1}]']) {
    assert.deepEqual(parseTrust({ [BANS_KEY]: text }), NO_TRUST);
  }
});

import assert from "node:assert/strict";
import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { SAMPLE_NOW_MS } from "../../lib/x509/sample-certificate.ts";
import { makeRootMaterial } from "./root-material.ts";
import { asSupplied, readMaterial } from "./root-supplied.ts";

const use = { trustDomain: "cluster.local", nowMs: SAMPLE_NOW_MS };

test("a root of our own is P-256, signs itself, lasts 10 years and is fit to be used", () => {
  const material = makeRootMaterial({ ...use, randomBytes });
  const root = new X509Certificate(material.certificate);
  assert.ok(root.checkPrivateKey(createPrivateKey(material.key)));
  assert.ok(root.checkIssued(root) && root.verify(root.publicKey));
  assert.equal(root.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.equal(root.validToDate.getTime(), SAMPLE_NOW_MS + 3_650 * 24 * 3_600_000);
  const read = readMaterial(asSupplied(material), use);
  assert.ok(read.kind === "ok");
  assert.deepEqual(read.material, material);
  assert.equal(read.notAfterMs, root.validToDate.getTime());
});

test("two roots differ in name and key", () => {
  const [a, b] = [0, 0].map(() => makeRootMaterial({ ...use, randomBytes }).certificate);
  const [first, second] = [new X509Certificate(a ?? ""), new X509Certificate(b ?? "")];
  assert.notEqual(first.subject, second.subject);
  assert.ok(!first.publicKey.equals(second.publicKey));
});

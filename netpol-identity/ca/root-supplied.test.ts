import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { encodeDer, encodeObjectId, encodeSequence, TAG } from "../../lib/x509/der.ts";
import { KEY_USAGE } from "../../lib/x509/extension.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import {
  makeSample,
  makeSampleIntermediate,
  makeSampleKey,
  makeSampleRoot,
  makeSelfSigned,
  SAMPLE_NOW_MS,
  type SampleCertificate,
  type SampleChanges,
} from "../../lib/x509/sample-certificate.ts";
import { readMaterial, type SuppliedMaterial } from "./root-supplied.ts";

const use = { trustDomain: "cluster.local", nowMs: SAMPLE_NOW_MS };
const root = makeSampleRoot();
const intermediate = makeSampleIntermediate(root.signer);
const other = makeSelfSigned({ authority: {}, keyUsage: 6, uris: [], permits: "other.local" });

const pem = (...chain: readonly SampleCertificate[]): string =>
  chain.map(({ der }) => encodePem(der)).join("");
const keyPem = (key: KeyObject): string => key.export({ format: "pem", type: "pkcs8" }).toString();

/** What cert-manager writes for an authority below our root. */
function below(own: SampleCertificate): SuppliedMaterial {
  return { "tls.crt": pem(own), "tls.key": keyPem(own.key), "ca.crt": pem(root) };
}

function problemsOf(supplied: SuppliedMaterial): readonly string[] {
  const read = readMaterial(supplied, use);
  return read.kind === "invalid" ? read.problems : [];
}

test("a root with its key is enough, with or without ca.crt", () => {
  const supplied = { "tls.crt": pem(root), "tls.key": keyPem(root.key) };
  for (const fields of [supplied, { ...supplied, "ca.crt": pem(root) }]) {
    const read = readMaterial(fields, use);
    assert.ok(read.kind === "ok");
    assert.deepEqual(read.material.roots, [pem(root)]);
  }
});

test("an intermediate signs below an offline root, which may come in either field", () => {
  const lower = makeSampleIntermediate(intermediate.signer, { commonName: "lower" });
  const chain = pem(lower, intermediate);
  const key = { "tls.key": keyPem(lower.key) };
  for (const fields of [
    { ...key, "tls.crt": chain, "ca.crt": pem(root) },
    { ...key, "tls.crt": chain + pem(root) },
    { ...key, "tls.crt": chain + pem(root), "ca.crt": pem(root) },
  ]) {
    const read = readMaterial(fields, use);
    assert.ok(read.kind === "ok", JSON.stringify(read));
    assert.deepEqual(read.material.roots, [pem(root)]);
    assert.equal(read.signer.certificateChain[0], pem(lower));
    assert.equal(read.notAfterMs, SAMPLE_NOW_MS + 3_600_000);
  }
});

test("older roots in ca.crt are handed on", () => {
  const [twin] = [makeSampleRoot()];
  const read = readMaterial({ ...below(intermediate), "ca.crt": pem(root, twin) }, use);
  assert.deepEqual(read.kind === "ok" && read.material.roots, [pem(root), pem(twin)]);
});

const expiredRoot = makeSelfSigned({
  authority: {},
  keyUsage: 6,
  uris: [],
  notAfterMs: SAMPLE_NOW_MS - 1_000,
});

test("an expired root that the signer does not need is left out, and told", () => {
  const expired = pem(expiredRoot);
  const read = readMaterial({ ...below(intermediate), "ca.crt": expired + pem(root) }, use);
  assert.ok(read.kind === "ok");
  assert.deepEqual(read.material.roots, [pem(root)]);
  assert.equal(read.notAfterMs, SAMPLE_NOW_MS + 3_600_000);
  assert.match(read.warnings.join(), /^ca.crt, certificate 1: expired at .*: renew it$/);
});

test("the signer's own root, expired, is an error beside whatever else is in ca.crt", () => {
  const own = makeSampleIntermediate(expiredRoot.signer);
  for (const others of ["", pem(root)]) {
    const [problem] = problemsOf({ ...below(own), "ca.crt": pem(expiredRoot) + others });
    assert.match(problem ?? "", /^ca.crt, certificate 1: expired at/);
  }
});

test("keys in the older PEM forms are read", () => {
  for (const type of ["sec1", "pkcs8"] as const) {
    const key = intermediate.key.export({ format: "pem", type }).toString();
    assert.equal(readMaterial({ ...below(intermediate), "tls.key": key }, use).kind, "ok");
  }
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey;
  const authority = makeSampleIntermediate(root.signer, { key: rsa });
  const key = rsa.export({ format: "pem", type: "pkcs1" }).toString();
  assert.equal(readMaterial({ ...below(authority), "tls.key": key }, use).kind, "ok");
});

const good = below(intermediate);
const otherKey = keyPem(makeSampleKey());
const garbage = `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`;
const encrypted = intermediate.key
  .export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "secret" })
  .toString();
const CASES: readonly (readonly [string, SuppliedMaterial, RegExp])[] = [
  ["no certificate", { ...good, "tls.crt": "" }, /^tls.crt: has no certificate: put one there/],
  [
    "a broken certificate",
    { ...good, "tls.crt": garbage },
    /^tls.crt, certificate 1: is not X.509/,
  ],
  ["no key", { "tls.crt": pem(root) }, /^tls.key: is no private key: put it there in PEM/],
  ["a key with a passphrase", { ...good, "tls.key": encrypted }, /without a passphrase/],
  [
    "another key",
    { ...good, "tls.key": otherKey },
    /^tls.key: is not the key of .* supply the pair/,
  ],
  [
    "an intermediate without its root",
    { "tls.crt": pem(intermediate), "tls.key": keyPem(intermediate.key) },
    /^ca.crt: is missing, and tls.crt ends with an intermediate: put its root there/,
  ],
  ["a ca.crt of garbage", { ...good, "ca.crt": "x" }, /^ca.crt: has no certificate/],
  [
    "an intermediate in ca.crt",
    { ...good, "ca.crt": pem(intermediate) },
    /^ca.crt, certificate 1: is no root: put only self-signed roots there/,
  ],
  [
    "a root of another name",
    { ...good, "ca.crt": pem(makeSelfSigned({ authority: {}, keyUsage: 6, uris: [] })) },
    /^tls.crt: does not lead to a root \(unknown-issuer\): order it/,
  ],
  [
    "a root of the same name with another key",
    { ...good, "ca.crt": pem(makeSampleRoot()) },
    /^tls.crt: does not lead to a root \(bad-signature\)/,
  ],
  [
    "a root for another trust domain",
    { "tls.crt": pem(other), "tls.key": keyPem(other.key) },
    /may not name workloads of "cluster.local": permit its URIs, or change the trust domain/,
  ],
];
for (const [name, supplied, problem] of CASES) {
  test(`${name}: says which field, what is wrong and what to do`, () => {
    assert.match(problemsOf(supplied)[0] ?? "", problem);
  });
}

const unknown = encodeSequence(
  encodeObjectId("1.2.3.4"),
  encodeDer(TAG.boolean, Buffer.of(0xff)),
  encodeDer(TAG.octetString, encodeSequence()),
);
const UNFIT: readonly (readonly [string, SampleChanges, RegExp])[] = [
  ["a leaf", { authority: undefined }, /is no authority: issue it with CA:TRUE/],
  ["without the right to sign", { keyUsage: KEY_USAGE.digitalSignature }, /may not sign: /],
  ["expired", { notAfterMs: SAMPLE_NOW_MS - 1_000 }, /expired at 2026-06-01T11:59:59.000Z: renew/],
  [
    "of the future",
    { notBeforeMs: SAMPLE_NOW_MS + 1_000 },
    /is not valid before 2026-06-01T12:00:01/,
  ],
  ["with a weak curve", { key: makeSampleKey("secp256k1") }, /has a key on the curve "secp256k1"/],
  ["for servers only", { purposes: ["serverAuthentication"] }, /lacks a purpose/],
  ["for another trust domain", { permits: "other.local" }, /may not name workloads of/],
  ["with a strange extension", { extensions: [unknown] }, /critical extension that is unknown/],
];
for (const [name, changes, problem] of UNFIT) {
  test(`an authority ${name}: says which certificate, what is wrong and what to do`, () => {
    const problems = problemsOf(below(makeSampleIntermediate(root.signer, changes)));
    const found = problems.find((text) => text.startsWith("tls.crt, certificate 1: "));
    assert.match(found ?? "", problem);
  });
}

test("a chain that peers would find too long is refused", () => {
  const chain = [intermediate];
  for (const commonName of ["second", "third"]) {
    const [above = intermediate] = chain;
    chain.unshift(makeSampleIntermediate(above.signer, { commonName }));
  }
  const [third = intermediate, second = intermediate] = chain;
  const upTo = (own: SampleCertificate, all: readonly SampleCertificate[]): SuppliedMaterial => ({
    ...below(own),
    "tls.crt": pem(...all),
  });
  assert.deepEqual(problemsOf(upTo(second, chain.slice(1))), []);
  assert.match(problemsOf(upTo(third, chain))[0] ?? "", /chain-too-long/);
});

test("all that is wrong is told at once", () => {
  const problems = problemsOf({ "tls.crt": pem(makeSample(root.signer)), "tls.key": "x" });
  assert.ok(problems.length >= 3, problems.join("\n"));
});

test("no problem quotes the key", () => {
  const key = keyPem(makeSampleKey("P-521"));
  const body = key.split("\n")[1] ?? "";
  for (const supplied of [
    { ...good, "tls.key": key },
    { "tls.crt": key, "tls.key": key },
  ]) {
    const problems = problemsOf(supplied);
    assert.ok(problems.length > 0 && !problems.join("").includes(body));
  }
});

test("any text in any field is judged", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom(pem(root), garbage, keyPem(root.key)));
  const secret = fc.record({ "tls.crt": text, "tls.key": text, "ca.crt": text });
  fc.assert(fc.property(secret, (supplied) => void readMaterial(supplied, use)));
});

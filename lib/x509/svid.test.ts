import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { BACKDATED_MS, encodeWorkloadCertificate } from "./certificate.ts";
import {
  encodeBitString,
  encodeDer,
  encodeInteger,
  encodeObjectId,
  encodeSequence,
  TAG,
} from "./der.ts";
import { encodeExtension, encodeNode } from "./encode-extension.ts";
import { KEY_USAGE } from "./extension.ts";
import {
  makeSample,
  makeSampleIntermediate,
  makeSampleKey,
  makeSampleRoot,
  makeSelfSigned,
  SAMPLE_NOW_MS,
  type SampleCertificate,
  type SampleChanges,
} from "./sample-certificate.ts";
import { formatSpiffeId } from "./spiffe-id.ts";
import { type SvidRefusal, type SvidVerdict, verifySvid } from "./svid.ts";

const URI = "spiffe://cluster.local/ns/shop/sa/cart";
/** Changes that make a self-signed leaf a root without name constraints. */
const ROOT: SampleChanges = {
  authority: {},
  keyUsage: KEY_USAGE.keyCertSign | KEY_USAGE.crlSign,
  uris: [],
  purposes: [],
};
const root = makeSampleRoot();
const intermediate = makeSampleIntermediate(root.signer);
const bundles = new Map([["cluster.local", [root.x509]]]);

function verify(chain: readonly SampleCertificate[], nowMs = SAMPLE_NOW_MS): SvidVerdict {
  const ders = chain.map(({ der }) => der);
  return verifySvid(ders, bundles, nowMs);
}

function assertRefused(chain: readonly SampleCertificate[], reason: SvidRefusal): void {
  assert.deepEqual(verify(chain), { kind: "refused", reason });
}

function refuses(name: string, reason: SvidRefusal, changes: SampleChanges): void {
  test(`a leaf ${name} is refused: ${reason}`, () => {
    assertRefused([makeSample(root.signer, changes)], reason);
  });
}

test("a leaf tells who holds it, where it was issued, when, and for how long", () => {
  const leaf = makeSample(root.signer, { extensions: [encodeNode("node-1")] });
  assert.deepEqual(verify([leaf]), {
    kind: "ok",
    identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "cart" },
    uri: URI,
    node: "node-1",
    serial: leaf.x509.serialNumber,
    issuedMs: leaf.x509.validFromDate.getTime() + 60_000,
    notAfterMs: leaf.x509.validToDate.getTime(),
  });
});

test("a leaf below intermediates is good, with or without the root at the end", () => {
  const lower = makeSampleIntermediate(intermediate.signer, { commonName: "lower" });
  const leaf = makeSample(lower.signer, { dnsNames: ["cart.shop.svc"] });
  assert.equal(verify([leaf, lower, intermediate]).kind, "ok");
  assert.equal(verify([leaf, lower, intermediate, root]).kind, "ok");
  assert.equal(verify([makeSample(root.signer), root]).kind, "ok");
});

test("an identity ends with the first certificate of its chain that does", () => {
  const notAfterMs = SAMPLE_NOW_MS + 1_000;
  const short = makeSampleIntermediate(root.signer, { notAfterMs });
  const verdict = verify([makeSample(short.signer), short]);
  assert.equal(verdict.kind === "ok" && verdict.notAfterMs, notAfterMs);
});

test("P-384 and RSA keys of 2048 bits sign and are signed", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  for (const key of [makeSampleKey("P-384"), rsa]) {
    const authority = makeSampleIntermediate(root.signer, { key });
    assert.equal(verify([makeSample(authority.signer, { key }), authority]).kind, "ok");
  }
});

refuses("that has expired", "expired", { notAfterMs: SAMPLE_NOW_MS - 1_000 });
refuses("of the future", "not-yet-valid", { notBeforeMs: SAMPLE_NOW_MS + 1_000 });
refuses("with two URIs", "several-uri-names", { uris: [URI, "spiffe://cluster.local/ns/a/sa/b"] });
refuses("with the same URI twice", "several-uri-names", { uris: [URI, URI] });
refuses("without a name", "no-uri-name", { uris: [] });
refuses("with a DNS name only", "no-uri-name", { uris: [], dnsNames: ["cart.shop.svc"] });
refuses("with a URI that is no SPIFFE ID", "not-a-workload-id", { uris: ["https://a/ns/b/sa/c"] });
refuses("for a whole trust domain", "not-a-workload-id", { uris: ["spiffe://cluster.local"] });
refuses("with a NUL in its name", "not-a-workload-id", { uris: [`${URI}\0.evil`] });
refuses("that is an authority", "leaf-is-authority", { authority: {} });
refuses("that may sign certificates", "wrong-key-usage", {
  keyUsage: KEY_USAGE.digitalSignature | KEY_USAGE.keyCertSign,
});
refuses("that may sign lists", "wrong-key-usage", {
  keyUsage: KEY_USAGE.digitalSignature | KEY_USAGE.crlSign,
});
refuses("that may not sign handshakes", "wrong-key-usage", { keyUsage: 0x20 });
refuses("for servers only", "wrong-extended-key-usage", { purposes: ["serverAuthentication"] });
refuses("for clients only", "wrong-extended-key-usage", { purposes: ["clientAuthentication"] });
refuses("without a purpose", "wrong-extended-key-usage", { purposes: [] });
refuses("of an unknown trust domain", "unknown-trust-domain", {
  uris: ["spiffe://other.local/ns/shop/sa/cart"],
});
refuses("with a P-521 key", "unfit-key", { key: makeSampleKey("P-521") });
refuses("with an Ed25519 key", "unfit-key", { key: generateKeyPairSync("ed25519").privateKey });
refuses("with an RSA key of 1024 bits", "unfit-key", {
  key: generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey,
});
refuses("with a critical extension from elsewhere", "unknown-critical-extension", {
  extensions: [
    encodeSequence(
      encodeObjectId("1.2.3.4"),
      encodeDer(TAG.boolean, Buffer.of(0xff)),
      encodeDer(TAG.octetString, encodeSequence()),
    ),
  ],
});
refuses("with an extension twice", "malformed-certificate", {
  extensions: [encodeNode("a"), encodeNode("b")],
});
refuses("whose node is no text", "malformed-certificate", {
  extensions: [encodeExtension("node", encodeSequence(), "plain")],
});

test("the moments at both ends of its validity belong to a certificate", () => {
  const leaf = makeSample(root.signer);
  const { validFromDate: from, validToDate: to } = leaf.x509;
  assert.equal(verify([leaf], from.getTime()).kind, "ok");
  assert.equal(verify([leaf], to.getTime()).kind, "ok");
  assert.equal(verify([leaf], from.getTime() - 1).kind, "refused");
  assert.equal(verify([leaf], to.getTime() + 1).kind, "refused");
});

test("a key of 16,384 bits is refused, on a leaf and on an authority", () => {
  // A modulus of this size takes minutes to find; any odd number does for a key nobody uses.
  const modulus = Buffer.concat([Buffer.of(0x80), randomBytes(2046), Buffer.of(1)]);
  const bits = encodeSequence(encodeInteger(modulus), encodeInteger(Buffer.of(1, 0, 1)));
  const id = encodeSequence(encodeObjectId("1.2.840.113549.1.1.1"), encodeDer(TAG.null));
  const info = encodeSequence(id, encodeBitString(bits));
  const publicKey = createPublicKey({ key: info, format: "der", type: "spki" });
  assertRefused([makeSample(root.signer, { publicKey })], "unfit-key");
  const authority = makeSampleIntermediate(root.signer, { publicKey });
  assertRefused([makeSample(authority.signer), authority], "unfit-key");
});

test("a chain is as long as four certificates and as short as one", () => {
  const leaf = makeSample(root.signer);
  assertRefused([], "no-certificate");
  assertRefused(Array(5).fill(leaf), "chain-too-long");
  assertRefused(Array(100).fill(leaf), "chain-too-long");
});

test("a leaf that signed itself, or that a stranger signed, is refused", () => {
  assertRefused([makeSelfSigned({})], "unknown-issuer");
  const stranger = makeSelfSigned({ ...ROOT, commonName: "stranger" });
  assertRefused([makeSample(stranger.signer), stranger], "unknown-issuer");
});

test("a root of the same name with another key is refused", () => {
  const twin = makeSampleRoot();
  assertRefused([makeSample(twin.signer)], "bad-signature");
  assertRefused([makeSample(twin.signer), twin], "bad-signature");
});

test("a root vouches for its own trust domain only, even when it is trusted elsewhere", () => {
  const other = makeSelfSigned({ ...ROOT, commonName: "other" });
  const both = new Map([...bundles, ["other.local", [other.x509]]]);
  const lying = makeSample(other.signer);
  const honest = makeSample(other.signer, { uris: ["spiffe://other.local/ns/shop/sa/cart"] });
  const judge = (leaf: SampleCertificate): SvidVerdict =>
    verifySvid([leaf.der], both, SAMPLE_NOW_MS);
  assert.deepEqual(judge(lying), { kind: "refused", reason: "unknown-issuer" });
  assert.equal(judge(honest).kind, "ok");
});

test("while a root is rotated, leaves of the old and of the new one are good", () => {
  const next = makeSampleRoot();
  const during = new Map([["cluster.local", [root.x509, next.x509]]]);
  for (const { signer } of [root, next]) {
    assert.equal(verifySvid([makeSample(signer).der], during, SAMPLE_NOW_MS).kind, "ok");
  }
});

function refusesAuthority(name: string, reason: SvidRefusal, changes: SampleChanges): void {
  test(`an intermediate ${name} is refused: ${reason}`, () => {
    const authority = makeSampleIntermediate(root.signer, changes);
    assertRefused([makeSample(authority.signer), authority], reason);
  });
  test(`a root ${name} is refused: ${reason}`, () => {
    const authority = makeSelfSigned({ ...ROOT, ...changes });
    const bundle = new Map([["cluster.local", [authority.x509]]]);
    const verdict = verifySvid([makeSample(authority.signer).der], bundle, SAMPLE_NOW_MS);
    assert.deepEqual(verdict, { kind: "refused", reason });
  });
}

refusesAuthority("that is a leaf", "issuer-is-no-authority", { authority: undefined });
refusesAuthority("that may not sign", "issuer-is-no-authority", {
  keyUsage: KEY_USAGE.digitalSignature,
});
refusesAuthority("that has expired", "expired", { notAfterMs: SAMPLE_NOW_MS - 1_000 });
refusesAuthority("of the future", "not-yet-valid", { notBeforeMs: SAMPLE_NOW_MS + 1_000 });
refusesAuthority("for another trust domain", "name-not-permitted", { permits: "other.local" });
refusesAuthority("for subdomains", "name-not-permitted", { permits: ".cluster.local" });
refusesAuthority("for servers only", "wrong-extended-key-usage", {
  purposes: ["serverAuthentication"],
});
refusesAuthority("with a P-521 key", "unfit-key", { key: makeSampleKey("P-521") });

test("an intermediate below one that may have none is refused", () => {
  const upper = makeSampleIntermediate(root.signer, { authority: { pathLength: 0 } });
  const lower = makeSampleIntermediate(upper.signer, { commonName: "lower" });
  assert.equal(verify([makeSample(upper.signer), upper]).kind, "ok");
  assertRefused([makeSample(lower.signer), lower, upper], "path-too-long");
});

test("a chain out of order, with a gap or with a stranger in it is refused", () => {
  const leaf = makeSample(intermediate.signer);
  const stranger = makeSelfSigned({ ...ROOT, commonName: "intermediate" });
  assertRefused([leaf], "unknown-issuer");
  assertRefused([leaf, root], "unknown-issuer");
  assertRefused([intermediate, leaf], "leaf-is-authority");
  assertRefused([leaf, stranger], "bad-signature");
});

test("whatever bit of a leaf is changed, it proves nothing", () => {
  const { der } = makeSample(root.signer);
  for (let bit = 0; bit < der.length * 8; bit++) {
    const changed = Buffer.from(der);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(verifySvid([changed], bundles, SAMPLE_NOW_MS).kind, "refused");
  }
});

test("at every truncation, and for any bytes, the verdict is a refusal", () => {
  const { der } = makeSample(root.signer);
  for (let length = 0; length < der.length; length++) {
    assert.equal(verifySvid([der.subarray(0, length)], bundles, SAMPLE_NOW_MS).kind, "refused");
  }
  const chains = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 });
  fc.assert(
    fc.property(chains, (chain) => {
      const verdict = verifySvid(
        chain.map((bytes) => Buffer.from(bytes)),
        bundles,
        SAMPLE_NOW_MS,
      );
      assert.equal(verdict.kind, "refused");
    }),
  );
});

test("what the workload profile writes is what is read", () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
  const parts = fc.record({ namespace: label, serviceAccount: label, node: label });
  const lifetimes = fc.integer({ min: 10, max: 10_080 }).map((minutes) => minutes * 60_000);
  const publicKey = createPublicKey(makeSampleKey());
  fc.assert(
    fc.property(parts, lifetimes, ({ node, ...names }, lifetimeMs) => {
      const identity = { trustDomain: "cluster.local", ...names };
      const uri = formatSpiffeId(identity);
      const notAfterMs = SAMPLE_NOW_MS + lifetimeMs;
      const serial = randomBytes(16);
      const times = { notBeforeMs: SAMPLE_NOW_MS - BACKDATED_MS, notAfterMs };
      const leaf = { publicKey, serial, uri, node, ...times };
      const der = encodeWorkloadCertificate(leaf, root.signer);
      assert.deepEqual(verifySvid([der], bundles, SAMPLE_NOW_MS), {
        kind: "ok",
        identity,
        uri,
        node,
        serial: serial
          .toString("hex")
          .toUpperCase()
          .replace(/^(00)+/, ""),
        issuedMs: SAMPLE_NOW_MS,
        notAfterMs,
      });
    }),
    { numRuns: 50 },
  );
});

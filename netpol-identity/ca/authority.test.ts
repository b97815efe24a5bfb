import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { decodeCsr, encodeCsr } from "../../lib/x509/csr.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import {
  makeSampleIntermediate,
  makeSampleKey,
  makeSampleRoot,
  SAMPLE_NOW_MS,
  type SampleCertificate,
} from "../../lib/x509/sample-certificate.ts";
import { type SvidVerdict, verifySvid } from "../../lib/x509/svid.ts";
import {
  AuthorityExpiredError,
  CertificateAuthority,
  type IssuedCertificate,
  LEAF_LIFETIME,
} from "./authority.ts";

const MINUTE_MS = 60_000;
const trustDomain = "cluster.local";
const identity = { trustDomain, namespace: "shop", serviceAccount: "cart" };
const publicKey = createPublicKey(makeSampleKey());
const root = makeSampleRoot();

function authorityOf(
  chain: readonly SampleCertificate[],
  options: { readonly leafLifetimeMs?: number; readonly nowMs?: number } = {},
): CertificateAuthority {
  const { nowMs = SAMPLE_NOW_MS, ...rest } = options;
  const [own = root] = chain;
  const certificateChain = chain.map(({ der }) => encodePem(der));
  const signer = { certificateChain, key: own.key };
  const roots = [encodePem(root.der)];
  const clock = makeFakeClock(nowMs);
  return new CertificateAuthority({ trustDomain, signer, roots, clock, randomBytes, ...rest });
}

function verify({ chain }: IssuedCertificate, nowMs = SAMPLE_NOW_MS): SvidVerdict {
  return verifySvid(chain.flatMap(decodePem), new Map([[trustDomain, [root.x509]]]), nowMs);
}

const cart = { publicKey, identity, node: "node-1" };

test("a workload's certificate proves its identity, node and times", () => {
  const issued = authorityOf([root]).issue(cart);
  assert.equal(issued.chain.length, 1);
  assert.equal(issued.notAfterMs, SAMPLE_NOW_MS + LEAF_LIFETIME.defaultMs);
  assert.deepEqual(verify(issued), {
    kind: "ok",
    identity,
    uri: "spiffe://cluster.local/ns/shop/sa/cart",
    node: "node-1",
    serial: issued.serial,
    issuedMs: SAMPLE_NOW_MS,
    notAfterMs: issued.notAfterMs,
  });
});

test("it begins a minute early, for clocks that are behind", () => {
  const issued = authorityOf([root]).issue(cart);
  assert.equal(verify(issued, SAMPLE_NOW_MS - MINUTE_MS).kind, "ok");
  assert.equal(verify(issued, SAMPLE_NOW_MS - MINUTE_MS - 1).kind, "refused");
});

test("below an offline root the intermediates come along, the root does not", () => {
  const notAfterMs = SAMPLE_NOW_MS + 2 * LEAF_LIFETIME.defaultMs;
  const upper = makeSampleIntermediate(root.signer, { commonName: "upper", notAfterMs });
  const lower = makeSampleIntermediate(upper.signer, { commonName: "lower", notAfterMs });
  const issued = authorityOf([lower, upper, root]).issue(cart);
  assert.deepEqual(issued.chain.slice(1), [encodePem(lower.der), encodePem(upper.der)]);
  assert.equal(verify(issued).kind, "ok");
});

test("a lifetime that is asked for is brought within the setting and ten minutes", () => {
  const authority = authorityOf([root], { leafLifetimeMs: 60 * MINUTE_MS });
  const lifetimeOf = (lifetimeMs?: number): number =>
    authority.issue({ ...cart, ...(lifetimeMs !== undefined && { lifetimeMs }) }).notAfterMs -
    SAMPLE_NOW_MS;
  assert.equal(lifetimeOf(), 60 * MINUTE_MS);
  assert.equal(lifetimeOf(30 * MINUTE_MS), 30 * MINUTE_MS);
  assert.equal(lifetimeOf(90 * MINUTE_MS), 60 * MINUTE_MS);
  assert.equal(lifetimeOf(1), 10 * MINUTE_MS);
});

test("no leaf outlives a certificate of its signer", () => {
  const notAfterMs = SAMPLE_NOW_MS + 20 * MINUTE_MS;
  const upper = makeSampleIntermediate(root.signer, { commonName: "upper", notAfterMs });
  const lower = makeSampleIntermediate(upper.signer, {
    notAfterMs: notAfterMs + 60 * MINUTE_MS,
  });
  const issued = authorityOf([lower, upper]).issue(cart);
  assert.equal(issued.notAfterMs, notAfterMs);
  const server = authorityOf([lower, upper]).issueServer({ publicKey, dnsNames: ["ca"] });
  assert.equal(server.notAfterMs, notAfterMs);
});

test("an authority that has expired signs nothing", () => {
  const { validToDate: end } = root.x509;
  const authority = authorityOf([root], { nowMs: end.getTime() });
  assert.throws(() => authority.issue(cart), AuthorityExpiredError);
});

test("fractions of a second do not make a leaf promise more than it says", () => {
  const issued = authorityOf([root], { nowMs: SAMPLE_NOW_MS + 999 }).issue(cart);
  const [leaf = ""] = issued.chain;
  assert.equal(new X509Certificate(leaf).validToDate.getTime(), issued.notAfterMs);
});

test("names and rights that a request asks for change nothing", () => {
  const key = makeSampleKey();
  const authority = authorityOf([root]);
  const fields = [encodeCsr(key), encodeCsr(key, "spiffe://cluster.local/ns/kube-system/sa/admin")]
    .map((request) => {
      const decoded = decodeCsr(request);
      assert.ok(decoded.kind === "ok");
      const { chain } = authority.issue({ ...cart, publicKey: decoded.publicKey });
      return new X509Certificate(chain[0] ?? "");
    })
    .map(({ subject, subjectAltName, ca, keyUsage, validTo, publicKey: held }) => {
      const der = held.export({ format: "der", type: "spki" }).toString("hex");
      return { subject, subjectAltName, ca, keyUsage, validTo, der };
    });
  assert.deepEqual(fields[0], fields[1]);
});

test("an identity of another trust domain is a bug, not a certificate", () => {
  const foreign = { ...identity, trustDomain: "other.local" };
  assert.throws(() => authorityOf([root]).issue({ ...cart, identity: foreign }));
});

test("serials of many certificates differ", () => {
  const authority = authorityOf([root]);
  const serials = Array.from({ length: 200 }, () => authority.issue(cart).serial);
  assert.equal(new Set(serials).size, serials.length);
});

test("an endpoint's certificate is for its names, and is no identity", () => {
  const dnsNames = ["ca.innermesh-system.svc", "localhost"];
  const issued = authorityOf([root]).issueServer({ publicKey, dnsNames });
  const leaf = new X509Certificate(issued.chain[0] ?? "");
  assert.deepEqual(
    dnsNames.map((name) => leaf.checkHost(name)),
    dnsNames,
  );
  assert.equal(verify(issued).kind, "refused");
});

test("an authority with an RSA key signs leaves that verify", () => {
  const { privateKey: key } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const notAfterMs = SAMPLE_NOW_MS + 2 * LEAF_LIFETIME.defaultMs;
  const intermediate = makeSampleIntermediate(root.signer, { key, notAfterMs });
  assert.equal(verify(authorityOf([intermediate]).issue(cart)).kind, "ok");
});

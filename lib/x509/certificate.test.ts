import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CertificateSigner,
  encodeIntermediateCertificate,
  encodeRootCertificate,
  encodeServerCertificate,
  encodeWorkloadCertificate,
  signerOf,
} from "./certificate.ts";
import { decodeCertificate } from "./decoded-certificate.ts";
import { encodePem } from "./pem.ts";
import { makeSampleKey, SAMPLE_NOW_MS } from "./sample-certificate.ts";

const URI = "spiffe://cluster.local/ns/shop/sa/cart";
const HOUR_MS = 3_600_000;
const SECONDS = String(SAMPLE_NOW_MS / 1_000);
const terms = () => ({
  serial: randomBytes(16),
  notBeforeMs: SAMPLE_NOW_MS - HOUR_MS,
  notAfterMs: SAMPLE_NOW_MS + HOUR_MS,
});
const rootKey = makeSampleKey("P-384");
const authority = { commonName: "root", trustDomain: "cluster.local" };
const root = encodeRootCertificate({ ...terms(), ...authority, key: rootKey });
const intermediateKey = makeSampleKey();
const intermediate = encodeIntermediateCertificate(
  { ...terms(), ...authority, commonName: "below", publicKey: createPublicKey(intermediateKey) },
  signer(root, rootKey),
);
const leafKey = createPublicKey(makeSampleKey());
const below = signer(intermediate, intermediateKey);
const leaf = workload(below);
const server = encodeServerCertificate(
  { ...terms(), publicKey: leafKey, dnsNames: ["ca.innermesh-system.svc", "localhost"] },
  below,
);

function signer(certificate: Buffer, key: typeof rootKey): CertificateSigner {
  const found = signerOf(certificate, key);
  assert.ok(found !== undefined);
  return found;
}

function workload(by: CertificateSigner, uri = URI): Buffer {
  return encodeWorkloadCertificate({ ...terms(), publicKey: leafKey, uri, node: "node-1" }, by);
}

function print(der: Buffer): string {
  const input = encodePem(der);
  return execFileSync("openssl", ["x509", "-text", "-noout"], { input }).toString();
}

/** What `openssl verify` says of a leaf, as a client or a server. */
function verify(leafDer: Buffer, trusted: Buffer, purpose: string): string {
  const folder = mkdtempSync(join(tmpdir(), "im-x509-"));
  const file = (name: string, der: Buffer): string => {
    writeFileSync(join(folder, name), encodePem(der));
    return join(folder, name);
  };
  try {
    const files = [file("leaf.pem", leafDer), file("between.pem", intermediate)];
    const chain = ["-CAfile", file("root.pem", trusted), "-untrusted", files[1] ?? ""];
    const strict = ["-x509_strict", "-no-CApath", "-attime", SECONDS, "-purpose", purpose];
    const args = ["verify", ...strict, ...chain, files[0] ?? ""];
    const { stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("OpenSSL, at its strictest, verifies a workload as client and as server", () => {
  assert.match(verify(leaf, root, "sslclient"), /leaf.pem: OK/);
  assert.match(verify(leaf, root, "sslserver"), /leaf.pem: OK/);
});

test("OpenSSL verifies an endpoint of ours as server only", () => {
  assert.match(verify(server, root, "sslserver"), /leaf.pem: OK/);
  assert.match(verify(server, root, "sslclient"), /unsuitable certificate purpose/);
});

test("OpenSSL refuses a workload of another trust domain below our intermediate", () => {
  const foreign = workload(below, "spiffe://other.local/ns/shop/sa/cart");
  assert.match(verify(foreign, root, "sslclient"), /permitted subtree violation/);
});

test("OpenSSL verifies what an RSA root signed", () => {
  const key = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey;
  const rsaRoot = encodeRootCertificate({ ...terms(), ...authority, key });
  assert.match(verify(workload(signer(rsaRoot, key)), rsaRoot, "sslclient"), /leaf.pem: OK/);
});

test("a workload has no subject, one critical URI, and the rights of a leaf", () => {
  const text = print(leaf);
  for (const expected of [
    /Version: 3/,
    /Signature Algorithm: ecdsa-with-SHA256/,
    /Subject: *\n/,
    /Basic Constraints: critical\s+CA:FALSE\n/,
    /Key Usage: critical\s+Digital Signature\n/,
    /Extended Key Usage: *\s+TLS Web Server Authentication, TLS Web Client Authentication\n/,
    new RegExp(`Subject Alternative Name: critical\\s+URI:${URI}\n`),
    /Subject Key Identifier/,
    /Authority Key Identifier/,
    /\.8000\.2554\.15981\.214\.54930\.17171\.36301\.890725\.7748141: *\s+\S*node-1/,
  ]) {
    assert.match(text, expected);
  }
});

test("authorities say what they may sign, and for which trust domain", () => {
  for (const [der, constraints] of [
    [root, /Basic Constraints: critical\s+CA:TRUE\n/],
    [intermediate, /Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/],
  ] as const) {
    const text = print(der);
    assert.match(text, constraints);
    assert.match(text, /X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    assert.match(text, /Subject Alternative Name: *\s+URI:spiffe:\/\/cluster.local\n/);
    assert.match(text, /Signature Algorithm: ecdsa-with-SHA384/);
  }
});

test("an intermediate is constrained to its trust domain, a root by its bundle alone", () => {
  const constraint = /Name Constraints: critical\s+Permitted:\s+URI:cluster.local\n/;
  assert.match(print(intermediate), constraint);
  // rustls-webpki would refuse whatever is below it.
  assert.doesNotMatch(print(root), /Name Constraints/);
});

test("Node reads what is written as we do", () => {
  for (const der of [root, intermediate, leaf, server]) {
    const [ours, node] = [decodeCertificate(der), new X509Certificate(der)];
    assert.ok(ours !== undefined);
    assert.equal(ours.serial, node.serialNumber);
    assert.equal(ours.notBeforeMs, node.validFromDate.getTime());
    assert.equal(ours.notAfterMs, node.validToDate.getTime());
    assert.equal(ours.isAuthority, node.ca);
    assert.deepEqual(ours.publicKeyInfo, node.publicKey.export({ format: "der", type: "spki" }));
  }
  const issued = new X509Certificate(leaf);
  assert.ok(issued.checkIssued(new X509Certificate(intermediate)));
  assert.ok(issued.verify(createPublicKey(intermediateKey)));
  assert.equal(issued.subjectAltName, `URI:${URI}`);
  assert.equal(new X509Certificate(server).checkHost("localhost"), "localhost");
});

test("serials of 128 bits are positive, whatever their first byte", () => {
  const serials = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((s) => Buffer.from(s));
  fc.assert(
    fc.property(
      serials.filter((serial) => serial.some((byte) => byte !== 0)),
      (serial) => {
        const fields = { ...terms(), serial, publicKey: leafKey, uri: URI, node: "n" };
        const der = encodeWorkloadCertificate(fields, below);
        const text = new X509Certificate(der).serialNumber;
        assert.equal(BigInt(`0x${text}`), BigInt(`0x${serial.toString("hex")}`));
        assert.equal(decodeCertificate(der)?.serial, text);
      },
    ),
    { numRuns: 30 },
  );
});

test("a certificate at every truncation, and any bytes, are read or not, and never throw", () => {
  for (let length = 0; length < root.length; length++) {
    assert.equal(decodeCertificate(root.subarray(0, length)), undefined);
  }
  const spots = fc.array(fc.tuple(fc.nat(root.length - 1), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(spots, (changes) => {
      const changed = Buffer.from(root);
      for (const [offset, byte] of changes) changed[offset] = byte;
      decodeCertificate(changed);
    }),
    { numRuns: 2_000 },
  );
});

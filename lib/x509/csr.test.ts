import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { decodeCsr, encodeCsr } from "./csr.ts";
import { makeSampleKey } from "./sample-certificate.ts";

const URI = "spiffe://cluster.local/ns/shop/sa/cart";

function openssl(args: readonly string[], input: Buffer | string = ""): Buffer {
  return execFileSync("openssl", args, { input, stdio: ["pipe", "pipe", "pipe"] });
}

function assertKey(der: Buffer, privateKey: KeyObject): void {
  const decoded = decodeCsr(der);
  assert.ok(decoded.kind === "ok");
  assert.ok(decoded.publicKey.equals(createPublicKey(privateKey)));
}

function problemOf(der: Buffer): string | undefined {
  const decoded = decodeCsr(der);
  return decoded.kind === "invalid" ? decoded.problem : undefined;
}

const rsa = (modulusLength: number): KeyObject =>
  generateKeyPairSync("rsa", { modulusLength }).privateKey;

test("a request carries its key, whatever name it asks for", () => {
  for (const key of [makeSampleKey(), makeSampleKey("P-384"), rsa(2_048)]) {
    assertKey(encodeCsr(key), key);
    assertKey(encodeCsr(key, URI), key);
  }
});

test("OpenSSL reads and verifies what is written", () => {
  const text = openssl(
    ["req", "-inform", "DER", "-verify", "-noout", "-text"],
    encodeCsr(makeSampleKey(), URI),
  ).toString();
  assert.match(text, /Subject: *\n/);
  assert.ok(text.includes(`URI:${URI}`));
});

test("requests that OpenSSL makes are read for their key only", () => {
  const folder = mkdtempSync(join(tmpdir(), "im-csr-"));
  try {
    for (const key of [makeSampleKey(), rsa(2_048)]) {
      const file = join(folder, "key.pem");
      writeFileSync(file, key.export({ format: "pem", type: "pkcs8" }));
      const request = [
        "req",
        "-new",
        "-key",
        file,
        "-outform",
        "DER",
        "-subj",
        "/O=system:masters",
      ];
      const names = `subjectAltName=URI:${URI},DNS:*,IP:127.0.0.1`;
      const extensions = ["-addext", names, "-addext", "basicConstraints=critical,CA:TRUE"];
      assertKey(openssl([...request, ...extensions]), key);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("keys that a mesh does not take are refused by what they are", () => {
  const unfit: readonly (readonly [KeyObject, RegExp])[] = [
    [makeSampleKey("P-521"), /"secp521r1": use P-256/],
    [makeSampleKey("secp256k1"), /"secp256k1": use P-256/],
    [rsa(1_024), /1024 bits/],
  ];
  for (const [key, problem] of unfit) assert.match(problemOf(encodeCsr(key)) ?? "", problem);
});

test("a key without its private half gets nothing", () => {
  const [mine, theirs] = [encodeCsr(makeSampleKey()), makeSampleKey()];
  const info = createPublicKey(theirs).export({ format: "der", type: "spki" });
  const mineInfo = mine.indexOf(info.subarray(0, 26));
  const stolen = Buffer.from(mine);
  info.copy(stolen, mineInfo);
  assert.equal(problemOf(stolen), "it is not signed with its own key");
});

test("a change of any bit, a truncation or any bytes are refused", () => {
  const der = encodeCsr(makeSampleKey(), URI);
  for (let bit = 0; bit < der.length * 8; bit++) {
    const changed = Buffer.from(der);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(problemOf(changed) !== undefined, `bit ${bit}`);
  }
  for (let length = 0; length < der.length; length++) {
    assert.ok(problemOf(der.subarray(0, length)) !== undefined);
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => problemOf(Buffer.from(bytes)) !== undefined));
});

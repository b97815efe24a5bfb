// What openssl made is read back with node:crypto.

import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { type Authority, createAuthority, issueClient, issueServer } from "./certificates.ts";

suite("certificates", () => {
  let authority: Authority;
  let root: X509Certificate;

  before(async () => {
    authority = await createAuthority(await mkdtemp(join(tmpdir(), "innermesh-certificates-")));
    root = new X509Certificate(await readFile(authority.certificateFile));
  });
  after(async () => rm(authority.directory, { recursive: true }));

  test("an authority signs itself and may sign others", () => {
    assert.ok(root.ca);
    assert.ok(root.verify(root.publicKey));
  });

  test("a server certificate holds for each of its addresses and names, and no other", async () => {
    const hosts = ["127.0.0.1", "::1", "kubernetes.default.svc"];
    const pair = await issueServer(authority, "server", hosts);
    const certificate = new X509Certificate(await readFile(pair.certificateFile));
    assert.ok(certificate.verify(root.publicKey));
    assert.equal(certificate.checkIP("127.0.0.1"), "127.0.0.1");
    assert.equal(certificate.checkIP("::1"), "::1");
    assert.ok(certificate.checkHost("kubernetes.default.svc"));
    assert.equal(certificate.checkIP("127.0.0.2"), undefined);
  });

  test("a client certificate names its user and groups; only its owner reads its key", async () => {
    const pair = await issueClient(authority, "system:node:a", ["system:nodes", "watchers"]);
    const certificate = new X509Certificate(await readFile(pair.certificateFile));
    assert.deepEqual(certificate.subject.split("\n").toSorted(), [
      "CN=system:node:a",
      "O=system:nodes",
      "O=watchers",
    ]);
    assert.ok(certificate.checkPrivateKey(createPrivateKey(await readFile(pair.keyFile))));
    assert.equal((await stat(pair.keyFile)).mode & 0o777, 0o600);
  });
});

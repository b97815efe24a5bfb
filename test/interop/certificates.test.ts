// What foreign code says of our certificates, and ours of foreign ones: zlint and openssl judge what
// our authority issues; our verification judges what openssl issued, sound and not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { decodePem } from "../../lib/x509/pem.ts";
import { verifySvid } from "../../lib/x509/svid.ts";
import { BAD_CREDENTIALS, FOREIGN_DOMAIN } from "./bad-credentials.ts";
import { lintCertificates } from "./certificate-lint.ts";
import { createIntermediate, createRoot, issue, soundExtensions } from "./openssl-authority.ts";
import { makeTestAuthority } from "./test-authority.ts";

const URI = "spiffe://cluster.local/ns/shop/sa/web";
const directory = await mkdtemp(join(tmpdir(), "innermesh-certificates-"));
after(async () => rm(directory, { recursive: true }));

const authority = await makeTestAuthority(directory);
const root = await createRoot(directory, "cluster.local");
const foreignRoot = await createRoot(directory, FOREIGN_DOMAIN);
const bundles = new Map([
  ["cluster.local", [new X509Certificate(root.chain)]],
  [FOREIGN_DOMAIN, [new X509Certificate(foreignRoot.chain)]],
]);

// No warning is accepted: one that appears is mended, or named here with its reason.
const LINTED: Readonly<Record<string, () => Promise<string>>> = {
  "our root": async () => authority.roots,
  "a workload's certificate": async () => (await authority.issue(URI)).chain,
  "a control plane's certificate": async () => authority.issueServer("ca.innermesh.svc"),
};

for (const [what, make] of Object.entries(LINTED)) {
  test(`zlint finds nothing against ${what}`, async () => {
    const [verdict] = await lintCertificates(await make());
    assert.deepEqual([verdict?.errors, verdict?.warnings, verdict?.notices], [[], [], []]);
    assert.ok((verdict?.passed ?? 0) > 40, "it looked");
  });
}

test("zlint finds what is wrong: its silence means something", async () => {
  const [authorityCase] = BAD_CREDENTIALS.filter(({ reason }) => reason === "wrong-key-usage");
  const made = await authorityCase?.make({ root, foreignRoot, uri: URI });
  const [verdict] = await lintCertificates(made?.chain ?? "");
  assert.notDeepEqual(verdict?.errors, []);
});

for (const purpose of ["sslclient", "sslserver"]) {
  test(`openssl verify -x509_strict takes what we issue as ${purpose}`, async () => {
    const { chainFile } = await authority.issue(URI);
    const words = ["verify", "-x509_strict", "-check_ss_sig", "-policy_check", "-purpose", purpose];
    const files = ["-CAfile", authority.rootsFile, "-untrusted", chainFile, chainFile];
    const { stdout } = await promisify(execFile)("openssl", [...words, ...files]);
    assert.equal(stdout.trim(), `${chainFile}: OK`);
  });
}

test("openssl refuses another trust domain's identity under our root: names bind it", async () => {
  const other = await makeTestAuthority(directory, "other.test");
  const { chainFile } = await authority.issue(URI);
  const words = ["verify", "-x509_strict", "-CAfile", other.rootsFile, chainFile];
  await assert.rejects(promisify(execFile)("openssl", words), /unable to get local issuer/);
});

test("what openssl issued soundly is taken, through an intermediate too", async () => {
  const between = await createIntermediate(root, "between");
  for (const issuer of [root, between]) {
    const { chain } = await issue(issuer, { extensions: soundExtensions(URI) });
    const verdict = verifySvid(decodePem(chain), bundles, Date.now());
    assert.equal(verdict.kind === "ok" ? verdict.uri : verdict.reason, URI);
  }
});

for (const { fault, reason, make } of BAD_CREDENTIALS) {
  test(`refused as ${reason}: a certificate that ${fault}`, async () => {
    const { chainFile } = await make({ root, foreignRoot, uri: URI });
    const chain = decodeAll(await readFile(chainFile, "utf8"));
    assert.deepEqual(verifySvid(chain, bundles, Date.now()), { kind: "refused", reason });
  });
}

/** Every certificate: `decodePem` stops where bundles do. */
function decodeAll(pem: string): readonly Buffer[] {
  return pem.split(/(?=-----BEGIN)/).flatMap(decodePem);
}

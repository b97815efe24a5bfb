// Our own certificate authority for tests with foreign peers: what it issues, keys beside it, in
// files.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { parseSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { CertificateAuthority } from "../../netpol-identity/ca/authority.ts";
import { makeRootMaterial } from "../../netpol-identity/ca/root-material.ts";
import { asSupplied, readMaterial } from "../../netpol-identity/ca/root-supplied.ts";
import type { Credential } from "./openssl-authority.ts";

export interface TestAuthority {
  readonly trustDomain: string;
  /** PEM. */
  readonly roots: string;
  readonly rootsFile: string;
  /** Issues to a workload whose new key is of the kind that nodes make. */
  readonly issue: (uri: string) => Promise<Credential>;
  /** Issues to an endpoint of the control plane. @returns PEM, leaf first */
  readonly issueServer: (dnsName: string) => string;
}

/** Makes an authority with a root of its own. @param directory its files go to folders in it */
export async function makeTestAuthority(
  directory: string,
  trustDomain = "cluster.local",
): Promise<TestAuthority> {
  const nowMs = systemClock.wallMs();
  const made = makeRootMaterial({ trustDomain, nowMs, randomBytes });
  const read = readMaterial(asSupplied(made), { trustDomain, nowMs });
  assert(read.kind === "ok", JSON.stringify(read));
  const { signer, material } = read;
  const shared = { trustDomain, signer, roots: material.roots };
  const authority = new CertificateAuthority({ ...shared, clock: systemClock, randomBytes });
  const roots = authority.roots.join("");
  const rootsFile = join(await mkdtemp(join(directory, "authority-")), "roots.pem");
  await writeFile(rootsFile, roots);
  return {
    trustDomain,
    roots,
    rootsFile,
    issue: async (uri) => issueTo(authority, directory, uri),
    issueServer: (dnsName) => {
      const { publicKey } = newKeys();
      return authority.issueServer({ publicKey, dnsNames: [dnsName] }).chain.join("");
    },
  };
}

async function issueTo(
  authority: CertificateAuthority,
  parent: string,
  uri: string,
): Promise<Credential> {
  const identity = parseSpiffeId(uri);
  assert(identity !== undefined, `${uri} is no identity`);
  const { publicKey, privateKey } = newKeys();
  const issued = authority.issue({ publicKey, identity, node: "node-1" });
  const directory = await mkdtemp(join(parent, "workload-"));
  const [chainFile, keyFile] = [join(directory, "chain.pem"), join(directory, "key.pem")];
  const chain = issued.chain.join("");
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await Promise.all([writeFile(chainFile, chain), writeFile(keyFile, key, { mode: 0o600 })]);
  return { chain, key, chainFile, keyFile };
}

function newKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

// What signs for the pods of the demo: a root in a directory that both agents read, in the files of
// a Secret that cert-manager fills.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeRootCertificate } from "../lib/x509/certificate.ts";
import { encodePem } from "../lib/x509/pem.ts";

/** Both PEM. */
export interface DemoRoot {
  readonly certificate: string;
  readonly key: string;
}

const LIFETIME_MS = 3_600_000;
const SERIAL_BYTES = 16;
const TRUST_DOMAIN = "cluster.local";

/** The identity of a ServiceAccount of namespace default. */
export function identityOf(serviceAccount: string): string {
  return `spiffe://${TRUST_DOMAIN}/ns/default/sa/${serviceAccount}`;
}

/** @param commonName roots that follow each other have different ones */
export function makeRoot(commonName: string): DemoRoot {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const nowMs = Date.now();
  const certificate = encodeRootCertificate({
    key: privateKey,
    commonName,
    trustDomain: TRUST_DOMAIN,
    serial: randomBytes(SERIAL_BYTES),
    notBeforeMs: nowMs - LIFETIME_MS,
    notAfterMs: nowMs + LIFETIME_MS,
  });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { certificate: encodePem(certificate), key };
}

/** @param trusted certificates of all roots that vouch, PEM */
export async function writeAuthority(
  directory: string,
  { certificate, key }: DemoRoot,
  trusted: readonly string[],
): Promise<void> {
  await put(directory, "ca.crt", trusted.join(""));
  await put(directory, "tls.crt", certificate);
  await put(directory, "tls.key", key);
}

/** The root that signs now. */
export async function readAuthority(directory: string): Promise<DemoRoot> {
  const read = (name: string): Promise<string> => readFile(join(directory, name), "utf8");
  return { certificate: await read("tls.crt"), key: await read("tls.key") };
}

/** Never half written. */
async function put(directory: string, name: string, text: string): Promise<void> {
  const path = join(directory, name);
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

// The certificates a control plane needs, made with openssl: one authority, servers, clients.
// Everything is P-256 and good for a day, since no cluster here lives longer.

import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const execFileAsync = promisify(execFile);
const DAYS = "1";

/** A private key and its certificate, as PEM files. */
export interface KeyPair {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A self-signed root in `directory`, where all that it signs is written too. */
export interface Authority extends KeyPair {
  readonly directory: string;
}

/** A private key, for signing, and its public half, as PEM files. */
export interface SigningKey {
  readonly privateFile: string;
  readonly publicFile: string;
}

/**
 * Makes an authority in an existing directory.
 * @throws when the openssl program is missing or refuses
 */
export async function createAuthority(directory: string): Promise<Authority> {
  const authority = { directory, ...filesOf(directory, "ca") };
  await writeKey(authority.keyFile);
  await openssl(["req", "-x509", "-new"], {
    key: authority.keyFile,
    out: authority.certificateFile,
    subj: "/CN=innermesh-test-ca",
    days: DAYS,
    addext: "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
  });
  return authority;
}

/**
 * Issues a server certificate for host names and addresses.
 * @param name becomes the files' name and the subject
 */
export async function issueServer(
  authority: Authority,
  name: string,
  hosts: readonly string[],
): Promise<KeyPair> {
  const names = hosts.map((host) => `${isIP(host) ? "IP" : "DNS"}:${host}`);
  const extensions = [`subjectAltName=${names.join(",")}`, "extendedKeyUsage=serverAuth"];
  return issue(authority, name, `/CN=${name}`, extensions);
}

/**
 * Issues a client certificate: to Kubernetes the common name is the user, the organisations are
 * the groups.
 */
export async function issueClient(
  authority: Authority,
  user: string,
  groups: readonly string[],
): Promise<KeyPair> {
  const subject = [...groups.map((group) => `O=${group}`), `CN=${user}`];
  const name = `client-${user.replaceAll(/[^a-z0-9.-]/gi, "_")}`;
  return issue(authority, name, `/${subject.join("/")}`, ["extendedKeyUsage=clientAuth"]);
}

/** Makes the key pair with which an API server signs and checks service account tokens. */
export async function createSigningKey(directory: string): Promise<SigningKey> {
  const privateFile = join(directory, "service-account.key");
  const publicFile = join(directory, "service-account.pub");
  await writeFile(publicFile, await writeKey(privateFile));
  return { privateFile, publicFile };
}

async function issue(
  authority: Authority,
  name: string,
  subject: string,
  extensions: readonly string[],
): Promise<KeyPair> {
  const pair = filesOf(authority.directory, name);
  const requestFile = join(authority.directory, `${name}.csr`);
  const extensionsFile = join(authority.directory, `${name}.ext`);
  await writeKey(pair.keyFile);
  await writeFile(extensionsFile, extensions.join("\n"));
  await openssl(["req", "-new"], { key: pair.keyFile, out: requestFile, subj: subject });
  await openssl(["x509", "-req"], {
    in: requestFile,
    out: pair.certificateFile,
    days: DAYS,
    CA: authority.certificateFile,
    CAkey: authority.keyFile,
    set_serial: `0x${crypto.randomUUID().replaceAll("-", "")}`,
    extfile: extensionsFile,
  });
  return pair;
}

function filesOf(directory: string, name: string): KeyPair {
  return {
    certificateFile: join(directory, `${name}.crt`),
    keyFile: join(directory, `${name}.key`),
  };
}

/** Writes a new private key, readable by its owner only. Returns the public half as PEM. */
async function writeKey(file: string): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  return publicKey.export({ type: "spki", format: "pem" }).toString();
}

async function openssl(
  command: readonly string[],
  options: Readonly<Record<string, string>>,
): Promise<void> {
  const words = Object.entries(options).flatMap(([name, value]) => [`-${name}`, value]);
  try {
    await execFileAsync("openssl", [...command, ...words]);
  } catch (cause) {
    throw new Error(`Cannot run openssl ${command[0]}: ${String(cause)}`, { cause });
  }
}

// Certificates for identities as the openssl program makes them: nothing of ours takes part, so
// they can judge our code, and any of them can be wrong on purpose.

import { execFile } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const openssl = promisify(execFile);

const HOUR_MS = 3_600_000;
const AUTHORITY_EXTENSIONS = [
  "basicConstraints=critical,CA:true",
  "keyUsage=critical,keyCertSign,cRLSign",
  "subjectKeyIdentifier=hash",
];

/** What proves one identity, as PEM: text, and files in a directory that its maker owns. */
export interface Credential {
  /** The leaf first, then intermediates; no root. */
  readonly chain: string;
  readonly key: string;
  readonly chainFile: string;
  readonly keyFile: string;
}

/** What signs. Whether it may is for others to judge. */
export interface Issuer extends Credential {
  readonly directory: string;
  /** PEM of the certificates that travel with what it signs: "" for a root. */
  readonly above: string;
}

/** What a certificate says, in the words of openssl's x509v3_config(5). */
export interface Contents {
  /** The organisation in its subject. @default "leaf" */
  readonly name?: string;
  readonly extensions: readonly string[];
  /** To the second. @default an hour ago */
  readonly notBefore?: Date;
  /** To the second. @default an hour from now */
  readonly notAfter?: Date;
  /** Private. @default a new one on P-256 */
  readonly key?: KeyObject;
}

/** A root of its own. @throws when openssl refuses */
export async function createRoot(directory: string, name: string): Promise<Issuer> {
  return selfSign(directory, { name, extensions: AUTHORITY_EXTENSIONS });
}

/** What signs itself, an authority or not. */
export async function selfSign(directory: string, contents: Contents): Promise<Issuer> {
  return { ...(await sign(directory, undefined, contents)), directory, above: "" };
}

/** An authority under another; `change` adds extensions or changes the validity. */
export async function createIntermediate(
  above: Issuer,
  name: string,
  change: Partial<Contents> = {},
): Promise<Issuer> {
  const extensions = [...AUTHORITY_EXTENSIONS, ...(change.extensions ?? [])];
  return asIssuer(above, await issue(above, { ...change, name, extensions }));
}

/** Makes an issuer of anything that was issued. */
export function asIssuer({ directory }: Issuer, credential: Credential): Issuer {
  return { ...credential, directory, above: credential.chain };
}

/** Issues what `contents` say, sound or not. @throws when openssl refuses */
export async function issue(issuer: Issuer, contents: Contents): Promise<Credential> {
  return sign(issuer.directory, issuer, contents);
}

/** The extensions of a sound certificate of one identity: a base for the unsound ones. */
export function soundExtensions(uri: string): readonly string[] {
  return [
    "basicConstraints=critical,CA:false",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=serverAuth,clientAuth",
    `subjectAltName=critical,URI:${uri}`,
    "authorityKeyIdentifier=keyid:always",
  ];
}

/** Signs with `issuer`, or with the new key itself. */
async function sign(
  parent: string,
  issuer: Issuer | undefined,
  contents: Contents,
): Promise<Credential> {
  const now = Date.now();
  const { name = "leaf", notBefore = new Date(now - HOUR_MS) } = contents;
  const { notAfter = new Date(now + HOUR_MS) } = contents;
  const directory = await mkdtemp(join(parent, `${name}-`));
  const file = (suffix: string): string => join(directory, suffix);
  const key = (contents.key ?? newKey()).export({ type: "pkcs8", format: "pem" }).toString();
  await Promise.all([
    writeFile(file("key.pem"), key, { mode: 0o600 }),
    writeFile(file("extensions"), contents.extensions.join("\n")),
    writeFile(file("database"), ""),
    writeFile(file("config"), configOf(file("database"), directory)),
  ]);
  const config = ["-config", file("config")];
  const request = ["-key", file("key.pem"), "-subj", `/O=${name}`, "-out", file("request")];
  await openssl("openssl", ["req", "-new", ...config, ...request]);
  const signer = issuer === undefined ? ["-selfsign"] : ["-cert", issuer.chainFile];
  const keyFile = ["-keyfile", issuer?.keyFile ?? file("key.pem")];
  const validity = ["-startdate", asTime(notBefore), "-enddate", asTime(notAfter)];
  const files = ["-extfile", file("extensions"), "-in", file("request"), "-out", file("leaf.pem")];
  const rest = [...config, ...signer, ...keyFile, ...validity, ...files];
  await openssl("openssl", ["ca", "-batch", "-notext", ...rest]);
  const leaf = await readFile(file("leaf.pem"), "utf8");
  const chain = `${leaf}${issuer?.above ?? ""}`;
  await writeFile(file("chain.pem"), chain);
  return { chain, key, chainFile: file("chain.pem"), keyFile: file("key.pem") };
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** GeneralizedTime (RFC 5280, section 4.1.2.5.2). */
function asTime(time: Date): string {
  return time.toISOString().replaceAll(/\.\d+|[-:T]/g, "");
}

function configOf(database: string, directory: string): string {
  return `[req]
distinguished_name = name
[name]
[ca]
default_ca = authority
[authority]
database = ${database}
new_certs_dir = ${directory}
default_md = sha256
rand_serial = yes
unique_subject = no
policy = policy
[policy]
organizationName = supplied
`;
}

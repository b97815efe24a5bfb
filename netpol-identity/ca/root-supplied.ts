// Judges what an authority is to sign with before anything depends on it: a user's Secret in the
// shape of cert-manager's (tls.crt, tls.key, ca.crt), and our own on its way back from one.

import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { BACKDATED_MS, encodeWorkloadCertificate, signerOf } from "../../lib/x509/certificate.ts";
import { type DecodedCertificate, decodeCertificate } from "../../lib/x509/decoded-certificate.ts";
import { KEY_USAGE } from "../../lib/x509/extension.ts";
import { permitsTrustDomain } from "../../lib/x509/name-constraints.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import { decodePublicKey, encodePublicKey, publicKeyProblem } from "../../lib/x509/public-key.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { verifySvid } from "../../lib/x509/svid.ts";
import type { AuthoritySigner } from "./authority.ts";
import type { AuthorityMaterial } from "./root-material.ts";

/** Fields of a Secret of type kubernetes.io/tls, as cert-manager fills it. */
export interface SuppliedMaterial {
  readonly "tls.crt"?: string;
  readonly "tls.key"?: string;
  /** May be missing when `tls.crt` ends with a root. */
  readonly "ca.crt"?: string;
}

/** The fields under which `readMaterial` reads material of our own. */
export function asSupplied(material: AuthorityMaterial): SuppliedMaterial {
  const { certificate, key, roots } = material;
  return { "tls.crt": certificate, "tls.key": key, "ca.crt": roots.join("") };
}

export type ReadMaterial =
  | {
      readonly kind: "ok";
      readonly signer: AuthoritySigner;
      /** The same as text in one form, so that it can be compared and kept. */
      readonly material: AuthorityMaterial;
      /** The first end among the certificates of the signer and its roots. */
      readonly notAfterMs: number;
      /** Roots that were left out: expired ones that the signer does not need. */
      readonly warnings: readonly string[];
    }
  | {
      readonly kind: "invalid";
      /** Each names the field, what is wrong and what to do; none quotes the key. */
      readonly problems: readonly string[];
    };

interface Use {
  readonly trustDomain: string;
  readonly nowMs: number;
}

interface Found {
  /** `tls.crt, certificate 1` */
  readonly where: string;
  readonly der: Buffer;
  readonly decoded: DecodedCertificate;
}

const TRIAL_LIFETIME_MS = 60_000;

/**
 * Judges material by all that peers will check, up to a trial certificate that is verified and
 * thrown away. Never throws.
 */
export function readMaterial(supplied: SuppliedMaterial, use: Use): ReadMaterial {
  const problems: string[] = [];
  const chain = readCertificates("tls.crt", supplied["tls.crt"], problems);
  const given = readRoots(chain, supplied["ca.crt"], problems);
  const roots = given.filter(({ decoded }) => use.nowMs <= decoded.notAfterMs);
  const expired = given.filter((root) => !roots.includes(root));
  const key = readKey(supplied["tls.key"], problems);
  const all = [...chain, ...roots];
  problems.push(...all.flatMap((found) => authorityProblems(found, use)));
  const expiries = expired.flatMap((root) => authorityProblems(root, use));
  const [own] = chain;
  if (own === undefined || key === undefined || problems.length > 0) {
    return { kind: "invalid", problems: [...problems, ...expiries] };
  }
  if (!encodePublicKey(createPublicKey(key)).equals(own.decoded.publicKeyInfo)) {
    const problem = "tls.key: is not the key of the first certificate in tls.crt: supply the pair";
    return { kind: "invalid", problems: [problem] };
  }
  const signer = { certificateChain: chain.map(({ der }) => encodePem(der)), key };
  const trial = trialProblem(chain, roots, { ...use, key });
  if (trial !== undefined) return { kind: "invalid", problems: [...expiries, trial] };
  return {
    kind: "ok",
    signer,
    material: {
      certificate: signer.certificateChain.join(""),
      key: key.export({ format: "pem", type: "pkcs8" }).toString(),
      roots: roots.map(({ der }) => encodePem(der)),
    },
    notAfterMs: Math.min(...all.map(({ decoded }) => decoded.notAfterMs)),
    warnings: expiries,
  };
}

function readCertificates(field: string, text: string | undefined, problems: string[]): Found[] {
  const ders = decodePem(text ?? "");
  if (ders.length === 0) problems.push(`${field}: has no certificate: put one there in PEM`);
  return ders.flatMap((der, i) => {
    const where = `${field}, certificate ${i + 1}`;
    const decoded = decodeCertificate(der);
    if (decoded !== undefined) return [{ where, der, decoded }];
    problems.push(`${where}: is not X.509 version 3: replace it`);
    return [];
  });
}

/** The roots in ca.crt, or the one that tls.crt ends with. */
function readRoots(
  chain: readonly Found[],
  text: string | undefined,
  problems: string[],
): readonly Found[] {
  if (text !== undefined && text.trim() !== "") {
    const roots = readCertificates("ca.crt", text, problems);
    const others = roots.filter(({ decoded }) => !isSelfIssued(decoded));
    problems.push(
      ...others.map(({ where }) => `${where}: is no root: put only self-signed roots there`),
    );
    return roots;
  }
  const last = chain.at(-1);
  if (last === undefined || isSelfIssued(last.decoded)) return chain.slice(-1);
  problems.push("ca.crt: is missing, and tls.crt ends with an intermediate: put its root there");
  return [];
}

function isSelfIssued({ subject, issuer }: DecodedCertificate): boolean {
  return subject.equals(issuer);
}

function readKey(text: string | undefined, problems: string[]): KeyObject | undefined {
  try {
    const key = createPrivateKey(text ?? "");
    const problem = publicKeyProblem(key);
    if (problem === undefined) return key;
    problems.push(`tls.key: is ${problem}`);
  } catch {
    problems.push("tls.key: is no private key: put it there in PEM, without a passphrase");
  }
  return undefined;
}

function authorityProblems({ where, decoded }: Found, { trustDomain, nowMs }: Use): string[] {
  const { isAuthority, keyUsage = KEY_USAGE.keyCertSign, notBeforeMs, notAfterMs } = decoded;
  const key = decodePublicKey(decoded.publicKeyInfo);
  const time = (timeMs: number): string => new Date(timeMs).toISOString();
  const rules: readonly (readonly [boolean, string])[] = [
    [isAuthority, "is no authority: issue it with CA:TRUE"],
    [(keyUsage & KEY_USAGE.keyCertSign) !== 0, "may not sign: issue it with keyCertSign"],
    [nowMs >= notBeforeMs, `is not valid before ${time(notBeforeMs)}: wait, or check the clock`],
    [nowMs <= notAfterMs, `expired at ${time(notAfterMs)}: renew it`],
    [!decoded.hasUnknownCritical, "has a critical extension that is unknown here: leave it out"],
    [decoded.isForBothEnds !== false, "lacks a purpose: issue it for server and client, or none"],
    [
      permitsTrustDomain(decoded.nameConstraints, trustDomain),
      `may not name workloads of "${trustDomain}": permit its URIs, or change the trust domain`,
    ],
  ];
  const broken = rules.flatMap(([holds, problem]) => (holds ? [] : [problem]));
  const all = typeof key === "string" ? [...broken, `has ${key}`] : broken;
  return all.map((problem) => `${where}: ${problem}`);
}

/** What stands between a leaf of this signer and the roots, found by signing one. */
function trialProblem(
  chain: readonly Found[],
  roots: readonly Found[],
  { trustDomain, nowMs, key }: Use & { readonly key: KeyObject },
): string | undefined {
  const signer = chain[0] && signerOf(chain[0].der, key);
  if (signer === undefined) return "tls.crt: cannot be signed with";
  const leaf = encodeWorkloadCertificate(
    {
      publicKey: createPublicKey(key),
      serial: Buffer.alloc(16, 1),
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + TRIAL_LIFETIME_MS,
      uri: formatSpiffeId({ trustDomain, namespace: "trial", serviceAccount: "trial" }),
      node: "trial",
    },
    signer,
  );
  const bundle = new Map([[trustDomain, roots.map(({ der }) => new X509Certificate(der))]]);
  const intermediates = chain.filter(({ decoded }) => !isSelfIssued(decoded));
  // With a root at the end, as a peer's OpenSSL hands chains on: it counts for their length.
  const presented = [...intermediates, ...roots.slice(0, 1)].map(({ der }) => der);
  const verdict = verifySvid([leaf, ...presented], bundle, nowMs);
  if (verdict.kind === "ok") return undefined;
  return (
    `tls.crt: does not lead to a root (${verdict.reason}): ` +
    "order it from the signer up, each certificate signed by the next, the last by one in ca.crt"
  );
}

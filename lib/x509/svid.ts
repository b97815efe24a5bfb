// Whether a peer's certificates prove a workload's identity. TLS has proven that the peer holds the
// leaf's key; this judges what TLS does not know: SPIFFE's rules, and that the root belongs to the
// trust domain which the leaf names. X.509-SVID standard, sections 4 and 5; threat T9, fault F45.

import type { X509Certificate } from "node:crypto";
import { BACKDATED_MS } from "./certificate.ts";
import { type DecodedCertificate, decodeCertificate } from "./decoded-certificate.ts";
import { KEY_USAGE } from "./extension.ts";
import { permitsTrustDomain } from "./name-constraints.ts";
import { decodePublicKey, isSignedBy, publicKeyProblem } from "./public-key.ts";
import { parseSpiffeId, type WorkloadIdentity } from "./spiffe-id.ts";

/** Roots by trust domain. A root of one domain never vouches for another. */
export type TrustBundles = ReadonlyMap<string, readonly X509Certificate[]>;

/** Leaf, at most two intermediates, and a root: node:tls adds it to what the peer sent. */
const LONGEST_CHAIN = 4;

/** For metrics and logs: closed, one per rule. */
export type SvidRefusal =
  | "no-certificate"
  | "chain-too-long"
  | "malformed-certificate"
  | "unknown-critical-extension"
  | "not-yet-valid"
  | "expired"
  | "unfit-key"
  | "no-uri-name"
  | "several-uri-names"
  | "not-a-workload-id"
  | "leaf-is-authority"
  | "wrong-key-usage"
  | "wrong-extended-key-usage"
  | "unknown-trust-domain"
  | "issuer-is-no-authority"
  | "path-too-long"
  | "name-not-permitted"
  | "bad-signature"
  | "unknown-issuer";

export type SvidVerdict = VerifiedSvid | { readonly kind: "refused"; readonly reason: SvidRefusal };

export interface VerifiedSvid {
  readonly kind: "ok";
  readonly identity: WorkloadIdentity;
  /** The identity as the certificate spells it. */
  readonly uri: string;
  /** Where its authority says that it was issued to: a name within its own trust domain. */
  readonly node?: string;
  /** Hexadecimal in upper case. */
  readonly serial: string;
  /** When it was signed, to a second: `notBefore` and what our authorities backdate by. */
  readonly issuedMs: number;
  /** The end of the shortest-lived certificate of its chain. */
  readonly notAfterMs: number;
}

/**
 * Judges a peer's chain as it was presented. Never throws.
 * @param chainDer leaf first, each certificate signed by the next; a root at the end is optional
 * @param nowMs wall time
 */
export function verifySvid(
  chainDer: readonly Buffer[],
  bundles: TrustBundles,
  nowMs: number,
): SvidVerdict {
  if (chainDer.length === 0) return refuse("no-certificate");
  if (chainDer.length > LONGEST_CHAIN) return refuse("chain-too-long");
  const [leaf, ...intermediates] = chainDer.map(decodeCertificate);
  if (leaf === undefined) return refuse("malformed-certificate");
  const [uri = "", ...otherUris] = leaf.uris;
  const identity = parseSpiffeId(uri);
  const reason =
    certificateRefusal(leaf, nowMs) ?? leafRefusal(leaf) ?? uriRefusal(uri, otherUris, identity);
  if (reason !== undefined || identity === undefined) return refuse(reason ?? "not-a-workload-id");
  const roots = bundles.get(identity.trustDomain);
  if (roots === undefined) return refuse("unknown-trust-domain");
  const path = walk(leaf, intermediates, { roots, trustDomain: identity.trustDomain, nowMs });
  if (typeof path === "string") return refuse(path);
  const { serial, node, notBeforeMs } = leaf;
  return {
    kind: "ok",
    identity,
    uri,
    ...(node === undefined ? {} : { node }),
    serial,
    issuedMs: notBeforeMs + BACKDATED_MS,
    notAfterMs: path.notAfterMs,
  };
}

/** What holds for every certificate of a chain. */
function certificateRefusal(
  certificate: DecodedCertificate,
  nowMs: number,
): SvidRefusal | undefined {
  if (certificate.hasUnknownCritical) return "unknown-critical-extension";
  if (nowMs < certificate.notBeforeMs) return "not-yet-valid";
  // notAfter is the last moment at which it is valid (RFC 5280, section 4.1.2.5).
  return nowMs > certificate.notAfterMs ? "expired" : undefined;
}

function leafRefusal(leaf: DecodedCertificate): SvidRefusal | undefined {
  if (leaf.isAuthority) return "leaf-is-authority";
  const usage = leaf.keyUsage ?? 0;
  if ((usage & KEY_USAGE.digitalSignature) === 0) return "wrong-key-usage";
  if ((usage & (KEY_USAGE.keyCertSign | KEY_USAGE.crlSign)) !== 0) return "wrong-key-usage";
  if (leaf.isForBothEnds !== true) return "wrong-extended-key-usage";
  return typeof decodePublicKey(leaf.publicKeyInfo) === "string" ? "unfit-key" : undefined;
}

function uriRefusal(
  uri: string,
  others: readonly string[],
  identity: WorkloadIdentity | undefined,
): SvidRefusal | undefined {
  if (others.length > 0) return "several-uri-names";
  if (uri === "") return "no-uri-name";
  return identity === undefined ? "not-a-workload-id" : undefined;
}

interface Trust {
  readonly roots: readonly X509Certificate[];
  readonly trustDomain: string;
  readonly nowMs: number;
}

/** Follows the signatures up to a root. What the peer sent beyond that is not looked at. */
function walk(
  leaf: DecodedCertificate,
  intermediates: readonly (DecodedCertificate | undefined)[],
  trust: Trust,
): { readonly notAfterMs: number } | SvidRefusal {
  let current = leaf;
  let { notAfterMs } = leaf;
  for (let below = 0; ; below++) {
    const anchored = anchor(current, below, trust);
    if (typeof anchored !== "string") {
      return { notAfterMs: Math.min(notAfterMs, anchored.notAfterMs) };
    }
    if (below === intermediates.length) return anchored;
    const issuer = intermediates[below];
    if (issuer === undefined) return "malformed-certificate";
    if (!issuer.subject.equals(current.issuer)) return "unknown-issuer";
    const reason =
      certificateRefusal(issuer, trust.nowMs) ?? authorityRefusal(issuer, below, trust);
    if (reason !== undefined) return reason;
    const key = decodePublicKey(issuer.publicKeyInfo);
    if (typeof key === "string") return "unfit-key";
    if (!isSignedBy(current.signed, key)) return "bad-signature";
    notAfterMs = Math.min(notAfterMs, issuer.notAfterMs);
    current = issuer;
  }
}

/** The root that signed a certificate, or why none of the domain's roots did or may. */
function anchor(
  certificate: DecodedCertificate,
  below: number,
  trust: Trust,
): DecodedCertificate | SvidRefusal {
  let refusal: SvidRefusal = "unknown-issuer";
  for (const { raw, publicKey } of trust.roots) {
    const root = decodeCertificate(raw);
    if (root === undefined || !root.subject.equals(certificate.issuer)) continue;
    const reason =
      certificateRefusal(root, trust.nowMs) ??
      authorityRefusal(root, below, trust) ??
      (publicKeyProblem(publicKey) === undefined ? undefined : "unfit-key") ??
      (isSignedBy(certificate.signed, publicKey) ? undefined : "bad-signature");
    if (reason === undefined) return root;
    refusal = reason;
  }
  return refusal;
}

/** @param below how many intermediates stand between an authority and the leaf */
function authorityRefusal(
  authority: DecodedCertificate,
  below: number,
  { trustDomain }: Trust,
): SvidRefusal | undefined {
  const { isAuthority, keyUsage = KEY_USAGE.keyCertSign, pathLength, isForBothEnds } = authority;
  if (!isAuthority || (keyUsage & KEY_USAGE.keyCertSign) === 0) return "issuer-is-no-authority";
  if (below > (pathLength ?? LONGEST_CHAIN)) return "path-too-long";
  // On an authority the purposes bound those of what it signs, as OpenSSL has it.
  if (isForBothEnds === false) return "wrong-extended-key-usage";
  if (permitsTrustDomain(authority.nameConstraints, trustDomain)) return undefined;
  return "name-not-permitted";
}

function refuse(reason: SvidRefusal): SvidVerdict {
  return { kind: "refused", reason };
}

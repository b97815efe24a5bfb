// Certificates that are right but for what a test changes: no profile writes them.

import assert from "node:assert/strict";
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import {
  type CertificateSigner,
  encodeCertificate,
  encodeName,
  encodeRootCertificate,
  signerOf,
} from "./certificate.ts";
import { encodeSequence } from "./der.ts";
import {
  encodeAlternativeNames,
  encodeAuthorityConstraints,
  encodeExtension,
  encodeKeyUsage,
  encodeLeafConstraints,
  encodePurposes,
} from "./encode-extension.ts";
import { KEY_USAGE } from "./extension.ts";
import { encodeNameConstraints } from "./name-constraints.ts";
import type { ObjectIdName } from "./object-id.ts";
import { keyIdOf } from "./public-key.ts";

export const SAMPLE_NOW_MS = Date.parse("2026-06-01T12:00:00Z");
const HOUR_MS = 3_600_000;

/** Changes to a leaf that is right. */
export interface SampleChanges {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly authority?: { readonly pathLength?: number } | undefined;
  readonly keyUsage?: number;
  readonly purposes?: readonly ObjectIdName[];
  readonly permits?: string;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly commonName?: string;
  readonly key?: KeyObject;
  /** One whose private half nobody has. */
  readonly publicKey?: KeyObject;
  /** In DER, as they are. */
  readonly extensions?: readonly Buffer[];
}

export interface SampleCertificate {
  readonly der: Buffer;
  readonly x509: X509Certificate;
  /** Private. */
  readonly key: KeyObject;
  /** Signs as what the certificate says, whether that is an authority or not. */
  readonly signer: CertificateSigner;
}

export function makeSampleKey(namedCurve = "P-256"): KeyObject {
  return generateKeyPairSync("ec", { namedCurve }).privateKey;
}

/** A root by its own profile. */
export function makeSampleRoot(
  trustDomain = "cluster.local",
  key = makeSampleKey(),
): SampleCertificate {
  const der = encodeRootCertificate({
    key,
    commonName: `root of ${trustDomain}`,
    trustDomain,
    serial: randomBytes(16),
    notBeforeMs: SAMPLE_NOW_MS - HOUR_MS,
    notAfterMs: SAMPLE_NOW_MS + 10_000 * HOUR_MS,
  });
  const signer = signerOf(der, key);
  assert.ok(signer !== undefined);
  return sample(der, signer);
}

/** A leaf for `spiffe://cluster.local/ns/shop/sa/cart`, but for the changes. */
export function makeSample(
  signer: CertificateSigner,
  changes: SampleChanges = {},
): SampleCertificate {
  const { key = makeSampleKey(), commonName } = changes;
  const subject = commonName === undefined ? encodeSequence() : encodeName(commonName);
  const der = encodeCertificate(
    {
      publicKey: changes.publicKey ?? createPublicKey(key),
      serial: randomBytes(16),
      notBeforeMs: changes.notBeforeMs ?? SAMPLE_NOW_MS - HOUR_MS,
      notAfterMs: changes.notAfterMs ?? SAMPLE_NOW_MS + HOUR_MS,
    },
    signer,
    { subject, extensions: encodeExtensions(changes) },
  );
  return sample(der, { subject, keyId: keyIdOf(createPublicKey(key)), key });
}

/** An authority, but for the changes. */
export function makeSampleIntermediate(
  signer: CertificateSigner,
  changes: SampleChanges = {},
): SampleCertificate {
  const keyUsage = KEY_USAGE.keyCertSign | KEY_USAGE.crlSign;
  const usual = { commonName: "intermediate", authority: {}, keyUsage, uris: [], purposes: [] };
  return makeSample(signer, { ...usual, ...changes });
}

/** Signs itself: a root that nobody trusts, or a leaf that needs no authority. */
export function makeSelfSigned(changes: SampleChanges): SampleCertificate {
  const key = changes.key ?? makeSampleKey();
  const { commonName = "self" } = changes;
  const signer = { subject: encodeName(commonName), keyId: keyIdOf(createPublicKey(key)), key };
  return makeSample(signer, { ...changes, key, commonName });
}

function encodeExtensions(changes: SampleChanges): Buffer[] {
  const { authority, permits, extensions = [], dnsNames = [] } = changes;
  const { uris = ["spiffe://cluster.local/ns/shop/sa/cart"] } = changes;
  const { purposes = ["serverAuthentication", "clientAuthentication"] } = changes;
  return [
    authority ? encodeAuthorityConstraints(authority.pathLength) : encodeLeafConstraints(),
    encodeKeyUsage(changes.keyUsage ?? KEY_USAGE.digitalSignature),
    ...(purposes.length === 0 ? [] : [encodePurposes(purposes)]),
    ...(uris.length + dnsNames.length === 0
      ? []
      : [encodeAlternativeNames({ uris, dnsNames }, "critical")]),
    ...(permits === undefined
      ? []
      : [encodeExtension("nameConstraints", encodeNameConstraints(permits), "critical")]),
    ...extensions,
  ];
}

function sample(der: Buffer, signer: CertificateSigner): SampleCertificate {
  return { der, x509: new X509Certificate(der), key: signer.key, signer };
}

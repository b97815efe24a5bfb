// The certificates that an authority of the mesh signs, by profile: RFC 5280, and for workloads the
// X.509-SVID standard. https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md

import assert from "node:assert/strict";
import { createPublicKey, type KeyObject } from "node:crypto";
import { encodeTime } from "./certificate-time.ts";
import { decodeCertificate } from "./decoded-certificate.ts";
import { contextTag, encodeDer, encodeInteger, encodeSequence, TAG } from "./der.ts";
import {
  encodeAlternativeNames,
  encodeAuthorityConstraints,
  encodeAuthorityKeyId,
  encodeExtension,
  encodeKeyUsage,
  encodeLeafConstraints,
  encodeNode,
  encodePurposes,
  encodeSubjectKeyId,
} from "./encode-extension.ts";
import { KEY_USAGE } from "./extension.ts";
import { encodeNameConstraints } from "./name-constraints.ts";
import { OBJECT_ID } from "./object-id.ts";
import { encodeAlgorithm, encodePublicKey, encodeSigned, keyIdOf } from "./public-key.ts";

/** How much before its issuance a certificate begins, for clocks that are behind. */
export const BACKDATED_MS = 60_000;

const NO_NAME = encodeSequence();

/** What every profile needs from outside. */
export interface IssuanceTerms {
  readonly publicKey: KeyObject;
  /** 16 random bytes: 128 bits that nobody foresees, read as a positive number. */
  readonly serial: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** An authority as its certificates name it. */
export interface CertificateSigner {
  /** Its name, in DER. */
  readonly subject: Buffer;
  readonly keyId: Buffer;
  /** Private. */
  readonly key: KeyObject;
}

/** The signer that a certificate describes; undefined when it cannot be read. */
export function signerOf(certificateDer: Buffer, key: KeyObject): CertificateSigner | undefined {
  const certificate = decodeCertificate(certificateDer);
  if (certificate === undefined) return undefined;
  const keyId = certificate.subjectKeyId ?? keyIdOf(createPublicKey(key));
  return { subject: certificate.subject, keyId, key };
}

/**
 * A root for one trust domain, signed by itself. It has no name constraints: rustls-webpki from
 * 0.103.12 on (April 2026, RUSTSEC-2026-0098), and so ztunnel, refuses every chain with one on
 * URIs. That it vouches for one domain only is what `verifySvid` sees to.
 */
export function encodeRootCertificate(
  root: Omit<IssuanceTerms, "publicKey"> & AuthorityName & { readonly key: KeyObject },
): Buffer {
  const publicKey = createPublicKey(root.key);
  const subject = encodeName(root.commonName);
  const signer = { subject, keyId: keyIdOf(publicKey), key: root.key };
  return encodeCertificate({ ...root, publicKey }, signer, {
    subject,
    extensions: authorityExtensions(root.trustDomain),
  });
}

export interface AuthorityName {
  readonly commonName: string;
  /** The one whose workloads it names. */
  readonly trustDomain: string;
}

/** An authority below another that signs leaves of its trust domain only; see the root's caveat. */
export function encodeIntermediateCertificate(
  intermediate: IssuanceTerms & AuthorityName,
  signer: CertificateSigner,
): Buffer {
  const { trustDomain } = intermediate;
  return encodeCertificate(intermediate, signer, {
    subject: encodeName(intermediate.commonName),
    extensions: [
      ...authorityExtensions(trustDomain, 0),
      encodeExtension("nameConstraints", encodeNameConstraints(trustDomain), "critical"),
    ],
  });
}

/** An X.509-SVID: no name but one URI. */
export function encodeWorkloadCertificate(
  workload: IssuanceTerms & { readonly uri: string; readonly node: string },
  signer: CertificateSigner,
): Buffer {
  return encodeCertificate(workload, signer, {
    subject: NO_NAME,
    extensions: [
      encodeLeafConstraints(),
      encodeKeyUsage(KEY_USAGE.digitalSignature),
      encodePurposes(["serverAuthentication", "clientAuthentication"]),
      encodeAlternativeNames({ uris: [workload.uri] }, "critical"),
      encodeNode(workload.node),
    ],
  });
}

/** For an HTTPS endpoint of the control plane itself. */
export function encodeServerCertificate(
  server: IssuanceTerms & { readonly dnsNames: readonly string[] },
  signer: CertificateSigner,
): Buffer {
  return encodeCertificate(server, signer, {
    subject: NO_NAME,
    extensions: [
      encodeLeafConstraints(),
      encodeKeyUsage(KEY_USAGE.digitalSignature),
      encodePurposes(["serverAuthentication"]),
      encodeAlternativeNames({ dnsNames: server.dnsNames }, "critical"),
    ],
  });
}

/** What a profile decides. */
export interface CertificateContents {
  /** In DER. */
  readonly subject: Buffer;
  /** Without those that name the keys. */
  readonly extensions: readonly Buffer[];
}

/** Any certificate: what the profiles have in common. */
export function encodeCertificate(
  terms: IssuanceTerms,
  signer: CertificateSigner,
  contents: CertificateContents,
): Buffer {
  assert.equal(terms.serial.length, 16);
  assert.ok(terms.serial.some((byte) => byte !== 0) && terms.notBeforeMs < terms.notAfterMs);
  const extensions = [
    ...contents.extensions,
    encodeSubjectKeyId(keyIdOf(terms.publicKey)),
    encodeAuthorityKeyId(signer.keyId),
  ];
  const body = encodeSequence(
    encodeDer(contextTag(0, "constructed"), encodeInteger(Buffer.of(2))),
    encodeInteger(terms.serial),
    encodeAlgorithm(signer.key),
    signer.subject,
    encodeSequence(encodeTime(terms.notBeforeMs), encodeTime(terms.notAfterMs)),
    contents.subject,
    encodePublicKey(terms.publicKey),
    encodeDer(contextTag(3, "constructed"), encodeSequence(...extensions)),
  );
  return encodeSigned(body, signer.key);
}

/** A subject of one name, in DER. */
export function encodeName(commonName: string): Buffer {
  const value = encodeDer(TAG.utf8String, Buffer.from(commonName));
  return encodeSequence(encodeDer(TAG.set, encodeSequence(OBJECT_ID.commonName, value)));
}

function authorityExtensions(trustDomain: string, pathLength?: number): readonly Buffer[] {
  return [
    encodeAuthorityConstraints(pathLength),
    encodeKeyUsage(KEY_USAGE.keyCertSign | KEY_USAGE.crlSign),
    encodeAlternativeNames({ uris: [`spiffe://${trustDomain}`] }, "plain"),
  ];
}

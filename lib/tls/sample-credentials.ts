// Authorities and leaves for tests, made on the spot.

import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { encodeRootCertificate, encodeWorkloadCertificate, signerOf } from "../x509/certificate.ts";
import { encodePem } from "../x509/pem.ts";
import assert from "node:assert/strict";

const HOUR_MS = 3_600_000;

export interface SampleCredential {
  /** PEM. */
  readonly chain: string;
  readonly key: string;
}

export interface SampleAuthority {
  /** PEM. */
  readonly root: string;
  /** @param terms what is not said is right */
  issue(
    uri: string,
    terms?: { readonly notBeforeMs?: number; readonly notAfterMs?: number },
  ): SampleCredential;
}

export function makeSampleAuthority(trustDomain = "cluster.local"): SampleAuthority {
  const now = Date.now();
  const { privateKey } = makeKeys();
  const rootDer = encodeRootCertificate({
    key: privateKey,
    commonName: `root of ${trustDomain}`,
    trustDomain,
    serial: randomBytes(16),
    notBeforeMs: now - HOUR_MS,
    notAfterMs: now + 1_000 * HOUR_MS,
  });
  const signer = signerOf(rootDer, privateKey);
  assert(signer !== undefined);
  return {
    root: encodePem(rootDer),
    issue(uri, { notBeforeMs = now - HOUR_MS, notAfterMs = now + HOUR_MS } = {}) {
      const keys = makeKeys();
      const leaf = encodeWorkloadCertificate(
        {
          publicKey: keys.publicKey,
          serial: randomBytes(16),
          notBeforeMs,
          notAfterMs,
          uri,
          node: "node-1",
        },
        signer,
      );
      const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      return { chain: encodePem(leaf), key };
    },
  };
}

function makeKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

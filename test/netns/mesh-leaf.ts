// Certificates that no agent asked for: what a test shows to a node in a pod's place.

import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import {
  BACKDATED_MS,
  encodeRootCertificate,
  encodeWorkloadCertificate,
  signerOf,
} from "../../lib/x509/certificate.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import type { AuthorityMaterial } from "../../netpol-identity/ca/root-material.ts";

export interface MeshLeaf {
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

export interface MeshLeafWishes {
  /** @default 1 hour from now */
  readonly notAfterMs?: number;
  /** Whose agent would have asked. @default "node-1" */
  readonly node?: string;
}

/** A certificate as the authority would give it to an agent. */
export function makeLeaf(
  authority: Pick<AuthorityMaterial, "certificate" | "key">,
  uri: string,
  { notAfterMs = Date.now() + 3_600_000, node = "node-1" }: MeshLeafWishes = {},
): MeshLeaf {
  const [der] = decodePem(authority.certificate);
  assert(der !== undefined);
  const signer = signerOf(der, createPrivateKey(authority.key));
  assert(signer !== undefined);
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = encodeWorkloadCertificate(
    {
      publicKey,
      serial: randomBytes(16),
      notBeforeMs: Date.now() - BACKDATED_MS,
      notAfterMs,
      uri,
      node,
    },
    signer,
  );
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { certificate: encodePem(leaf), key };
}

/** A root that ends at a given time, and with it all that it signs. */
export function makeShortRoot(trustDomain: string, notAfterMs: number): AuthorityMaterial {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = encodePem(
    encodeRootCertificate({
      key: privateKey,
      commonName: `Short ${randomBytes(4).toString("hex")}`,
      trustDomain,
      serial: randomBytes(16),
      notBeforeMs: Date.now() - BACKDATED_MS,
      notAfterMs,
    }),
  );
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { certificate, key, roots: [certificate] };
}

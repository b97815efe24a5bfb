// What an authority signs with, as text that lives in a Secret, and a root of our own for the first
// start.

import { generateKeyPairSync } from "node:crypto";
import { BACKDATED_MS, encodeRootCertificate } from "../../lib/x509/certificate.ts";
import { encodePem } from "../../lib/x509/pem.ts";

/** The key in it is never logged. */
export interface AuthorityMaterial {
  /** PEM, the certificate of the key first, then what leads to a root (tls.crt). */
  readonly certificate: string;
  /** PEM (tls.key). */
  readonly key: string;
  /** PEM, one each: what peers must trust for it (ca.crt). */
  readonly roots: readonly string[];
}

const ROOT_LIFETIME_MS = 10 * 365 * 24 * 3_600_000;
const SERIAL_BYTES = 16;

/** A root of our own with a new P-256 key, valid for 10 years. */
export function makeRootMaterial(options: {
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly randomBytes: (lengthBytes: number) => Buffer;
}): AuthorityMaterial {
  const { trustDomain, nowMs, randomBytes } = options;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const serial = randomBytes(SERIAL_BYTES);
  const certificate = encodePem(
    encodeRootCertificate({
      key: privateKey,
      // Roots that follow each other have different names, for people and for chain building.
      commonName: `Innermesh root ${serial.toString("hex").slice(0, 8)}`,
      trustDomain,
      serial,
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + ROOT_LIFETIME_MS,
    }),
  );
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { certificate, key, roots: [certificate] };
}

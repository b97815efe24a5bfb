// PEM (RFC 7468) around certificates: what Secrets, files and node:tls hold.

import { X509Certificate } from "node:crypto";

/** More certificates than any bundle of ours holds; the rest would only cost time. */
const MOST_CERTIFICATES = 64;
const BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g;
const COLUMNS = /.{1,64}/g;

/**
 * The certificates in a text, in its order, as DER that nobody has read yet. Text around the blocks
 * and blocks of other kinds are passed over; at most 64 are returned. Never throws.
 */
export function decodePem(text: string): readonly Buffer[] {
  return text
    .matchAll(BLOCK)
    .take(MOST_CERTIFICATES)
    .map(([, base64 = ""]) => Buffer.from(base64, "base64"))
    .toArray();
}

/** The first certificate in a text; undefined when there is none that can be read. Never throws. */
export function readCertificate(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch {
    return undefined;
  }
}

/** One certificate as a PEM block that ends with a new line. */
export function encodePem(der: Buffer): string {
  const lines = der.toString("base64").match(COLUMNS) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

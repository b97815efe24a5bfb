// The object identifiers that certificates of a mesh use. They are compared as encoded bytes: a
// certificate's own are never turned into numbers.

import { type DerElement, encodeObjectId } from "./der.ts";

export const OBJECT_ID = {
  commonName: encodeObjectId("2.5.4.3"),

  subjectKeyId: encodeObjectId("2.5.29.14"),
  keyUsage: encodeObjectId("2.5.29.15"),
  subjectAlternativeName: encodeObjectId("2.5.29.17"),
  basicConstraints: encodeObjectId("2.5.29.19"),
  nameConstraints: encodeObjectId("2.5.29.30"),
  certificatePolicies: encodeObjectId("2.5.29.32"),
  authorityKeyId: encodeObjectId("2.5.29.35"),
  extendedKeyUsage: encodeObjectId("2.5.29.37"),
  /**
   * Ours: the node a certificate was issued to. UUID 3e6d00d6-d692-4313-8dcd-0d9765763a2d cut into
   * small parts below the arc that Microsoft keeps for that. Not 2.25.<UUID>: Go's crypto/x509
   * (seen in 1.26) reads no certificate with a part above 31 bits.
   */
  node: encodeObjectId("1.2.840.113556.1.8000.2554.15981.214.54930.17171.36301.890725.7748141"),

  serverAuthentication: encodeObjectId("1.3.6.1.5.5.7.3.1"),
  clientAuthentication: encodeObjectId("1.3.6.1.5.5.7.3.2"),
  anyExtendedKeyUsage: encodeObjectId("2.5.29.37.0"),

  ecdsaWithSha256: encodeObjectId("1.2.840.10045.4.3.2"),
  ecdsaWithSha384: encodeObjectId("1.2.840.10045.4.3.3"),
  rsaWithSha256: encodeObjectId("1.2.840.113549.1.1.11"),
  rsaWithSha384: encodeObjectId("1.2.840.113549.1.1.12"),
  rsaWithSha512: encodeObjectId("1.2.840.113549.1.1.13"),

  /** Attribute of a CSR that asks for extensions. */
  extensionRequest: encodeObjectId("1.2.840.113549.1.9.14"),
} as const;

export type ObjectIdName = keyof typeof OBJECT_ID;

export function isObjectId(element: DerElement | undefined, name: ObjectIdName): boolean {
  return element?.whole.equals(OBJECT_ID[name]) ?? false;
}

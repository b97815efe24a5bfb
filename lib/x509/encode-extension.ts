// The extensions of a certificate (RFC 5280, section 4.2), written.

import {
  contextTag,
  encodeBitString,
  encodeDer,
  encodeInteger,
  encodeSequence,
  TAG,
} from "./der.ts";
import { URI_NAME } from "./extension.ts";
import { OBJECT_ID, type ObjectIdName } from "./object-id.ts";

const DNS_NAME = contextTag(2, "primitive");
const KEY_ID = contextTag(0, "primitive");
const TRUE = encodeDer(TAG.boolean, Buffer.of(0xff));

/** @param content in DER; what no peer may pass over is critical */
export function encodeExtension(
  name: ObjectIdName,
  content: Buffer,
  weight: "critical" | "plain",
): Buffer {
  const wrapped = encodeDer(TAG.octetString, content);
  // That it is not critical is the default, and DER leaves defaults out.
  return encodeSequence(OBJECT_ID[name], ...(weight === "critical" ? [TRUE] : []), wrapped);
}

/** @param pathLength how many intermediates may stand below; undefined: any number */
export function encodeAuthorityConstraints(pathLength?: number): Buffer {
  const limit = pathLength === undefined ? [] : [encodeInteger(Buffer.of(pathLength))];
  return encodeExtension("basicConstraints", encodeSequence(TRUE, ...limit), "critical");
}

/** Of one that is no authority, which again is a default. */
export function encodeLeafConstraints(): Buffer {
  return encodeExtension("basicConstraints", encodeSequence(), "critical");
}

/** @param usage bits as in `KEY_USAGE`, at least one */
export function encodeKeyUsage(usage: number): Buffer {
  // DER drops the zeros at the end of a list of named bits (X.690, section 11.2.2).
  const unusedBits = 31 - Math.clz32(usage & -usage);
  return encodeExtension("keyUsage", encodeBitString(Buffer.of(usage), unusedBits), "critical");
}

export function encodePurposes(purposes: readonly ObjectIdName[]): Buffer {
  const ids = purposes.map((name) => OBJECT_ID[name]);
  return encodeExtension("extendedKeyUsage", encodeSequence(...ids), "plain");
}

/** @param weight critical where the subject is empty (RFC 5280, section 4.2.1.6) */
export function encodeAlternativeNames(
  names: { readonly uris?: readonly string[]; readonly dnsNames?: readonly string[] },
  weight: "critical" | "plain",
): Buffer {
  const { uris = [], dnsNames = [] } = names;
  const encoded = [
    ...uris.map((uri) => encodeDer(URI_NAME, Buffer.from(uri))),
    ...dnsNames.map((name) => encodeDer(DNS_NAME, Buffer.from(name))),
  ];
  return encodeExtension("subjectAlternativeName", encodeSequence(...encoded), weight);
}

export function encodeNode(node: string): Buffer {
  return encodeExtension("node", encodeDer(TAG.utf8String, Buffer.from(node)), "plain");
}

/** @param keyId of the key within */
export function encodeSubjectKeyId(keyId: Buffer): Buffer {
  return encodeExtension("subjectKeyId", encodeDer(TAG.octetString, keyId), "plain");
}

/** @param keyId of the key that signs */
export function encodeAuthorityKeyId(keyId: Buffer): Buffer {
  return encodeExtension("authorityKeyId", encodeSequence(encodeDer(KEY_ID, keyId)), "plain");
}

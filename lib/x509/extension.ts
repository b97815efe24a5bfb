// The extensions of a certificate (RFC 5280, section 4.2) that decide about an identity, read.

import {
  contextTag,
  type DerElement,
  decodeBitString,
  decodeBoolean,
  decodeDer,
  decodeInteger,
  TAG,
} from "./der.ts";
import { decodeNameConstraints, type NameConstraints } from "./name-constraints.ts";
import { isObjectId, type ObjectIdName } from "./object-id.ts";

/** Bits of the first byte of KeyUsage (RFC 5280, section 4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 } as const;

export const URI_NAME = contextTag(6, "primitive");

/** More than this is no number of intermediates, but an attack. */
const LONGEST_PATH_BYTES = 1;
/** DNS subdomain: what the name of a Node is. */
const LONGEST_NODE_NAME = 253;

export interface Extensions {
  /** Missing: false. */
  readonly isAuthority: boolean;
  /** How many intermediates may stand below; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Bits as in `KEY_USAGE`. */
  readonly keyUsage: number | undefined;
  /** Fit for both ends of a connection; undefined when the purpose is open. */
  readonly isForBothEnds: boolean | undefined;
  /** The URIs among the alternative names. */
  readonly uris: readonly string[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Buffer | undefined;
  /** The node it was issued to, if its authority says so. */
  readonly node: string | undefined;
  /** It has a critical extension that we do not understand: it must not be used. */
  readonly hasUnknownCritical: boolean;
}

interface Reading {
  isAuthority: boolean;
  pathLength: number | undefined;
  keyUsage: number | undefined;
  isForBothEnds: boolean | undefined;
  uris: readonly string[];
  nameConstraints: NameConstraints | undefined;
  subjectKeyId: Buffer | undefined;
  node: string | undefined;
  hasUnknownCritical: boolean;
}

/** Reads one extension's content into the reading; false when it has another form. */
type ExtensionReader = (content: DerElement, reading: Reading) => boolean;

const READERS: readonly (readonly [ObjectIdName, ExtensionReader])[] = [
  ["basicConstraints", readBasicConstraints],
  ["keyUsage", readKeyUsage],
  ["extendedKeyUsage", readExtendedKeyUsage],
  ["subjectAlternativeName", readAlternativeNames],
  ["nameConstraints", readNameConstraints],
  ["subjectKeyId", readSubjectKeyId],
  ["node", readNode],
  // They help to find and to describe a chain; what we require does not depend on them.
  ["authorityKeyId", () => true],
  ["certificatePolicies", () => true],
];

/** Undefined when one is malformed or there twice. Never throws. */
export function decodeExtensions(extensions: readonly DerElement[]): Extensions | undefined {
  const reading: Reading = {
    isAuthority: false,
    pathLength: undefined,
    keyUsage: undefined,
    isForBothEnds: undefined,
    uris: [],
    nameConstraints: undefined,
    subjectKeyId: undefined,
    node: undefined,
    hasUnknownCritical: false,
  };
  const seen = new Set<string>();
  for (const extension of extensions) {
    const [id, ...values] = extension.children;
    if (extension.tag !== TAG.sequence || id?.tag !== TAG.objectId) return undefined;
    const key = id.content.toString("latin1");
    if (seen.has(key) || !readExtension(id, values, reading)) return undefined;
    seen.add(key);
  }
  return reading;
}

function readExtension(id: DerElement, values: readonly DerElement[], reading: Reading): boolean {
  const [first, second] = values;
  const isCritical = values.length === 2 ? decodeBoolean(first) : false;
  const wrapped = values.length === 2 ? second : first;
  if (isCritical === undefined || wrapped?.tag !== TAG.octetString) return false;
  const [, reader] = READERS.find(([name]) => isObjectId(id, name)) ?? [];
  if (reader === undefined) {
    reading.hasUnknownCritical ||= isCritical;
    return values.length <= 2;
  }
  const content = decodeDer(wrapped.content);
  return content !== undefined && values.length <= 2 && reader(content, reading);
}

function readBasicConstraints({ tag, children }: DerElement, reading: Reading): boolean {
  if (tag !== TAG.sequence || children.length > 2) return false;
  const [first, second] = children;
  if (first === undefined) return true;
  const isAuthority = decodeBoolean(first);
  if (isAuthority === undefined) return false;
  reading.isAuthority = isAuthority;
  if (second === undefined) return true;
  const pathLength = decodeInteger(second);
  if (pathLength === undefined || pathLength.length > LONGEST_PATH_BYTES) return false;
  [reading.pathLength] = pathLength;
  return true;
}

function readKeyUsage(content: DerElement, reading: Reading): boolean {
  const bits = decodeBitString(content);
  reading.keyUsage = bits?.[0] ?? 0;
  return bits !== undefined;
}

function readExtendedKeyUsage({ tag, children }: DerElement, reading: Reading): boolean {
  if (tag !== TAG.sequence || children.length === 0) return false;
  if (children.some((purpose) => purpose.tag !== TAG.objectId)) return false;
  const has = (name: ObjectIdName): boolean => children.some((child) => isObjectId(child, name));
  reading.isForBothEnds =
    has("anyExtendedKeyUsage") || (has("serverAuthentication") && has("clientAuthentication"));
  return true;
}

function readAlternativeNames({ tag, children }: DerElement, reading: Reading): boolean {
  reading.uris = children
    .filter((name) => name.tag === URI_NAME)
    .map((name) => name.content.toString("latin1"));
  return tag === TAG.sequence && children.length > 0;
}

function readNameConstraints(content: DerElement, reading: Reading): boolean {
  reading.nameConstraints = decodeNameConstraints(content);
  return reading.nameConstraints !== undefined;
}

function readSubjectKeyId({ tag, content }: DerElement, reading: Reading): boolean {
  reading.subjectKeyId = content;
  return tag === TAG.octetString;
}

function readNode({ tag, content }: DerElement, reading: Reading): boolean {
  reading.node = content.toString("utf8");
  return tag === TAG.utf8String && content.length > 0 && content.length <= LONGEST_NODE_NAME;
}

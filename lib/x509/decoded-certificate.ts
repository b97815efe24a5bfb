// What an X.509 version 3 certificate says (RFC 5280, section 4.1), before anybody believes it.

import { decodeTime } from "./certificate-time.ts";
import { contextTag, type DerElement, decodeInteger, TAG } from "./der.ts";
import { decodeExtensions, type Extensions } from "./extension.ts";
import { decodeSigned, type SignedDer } from "./public-key.ts";

const VERSION = contextTag(0, "constructed");
const EXTENSIONS = contextTag(3, "constructed");
const VERSION_3 = 2;
/** RFC 5280, section 4.1.2.2. */
const LONGEST_SERIAL_BYTES = 20;

export interface DecodedCertificate extends Extensions {
  /** Hexadecimal in upper case, as OpenSSL and Node print it. */
  readonly serial: string;
  /** Names in DER; equal when their bytes are. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo in DER, not yet read. */
  readonly publicKeyInfo: Buffer;
  readonly signed: SignedDer;
}

/** Undefined unless the bytes are one well-formed certificate of version 3. Never throws. */
export function decodeCertificate(der: Buffer): DecodedCertificate | undefined {
  const signed = decodeSigned(der);
  const [
    version,
    serialNumber,
    algorithm,
    issuer,
    validity,
    subject,
    publicKeyInfo,
    last,
    ...rest
  ] = signed?.body.children ?? [];
  if (signed === undefined || rest.length > 0) return undefined;
  if (algorithm?.whole.equals(signed.algorithm.whole) !== true) return undefined;
  if (version?.tag !== VERSION || smallInteger(version.children) !== VERSION_3) return undefined;
  const serial = decodeInteger(serialNumber);
  const extensions = wrappedExtensions(last);
  const names = [issuer, subject, publicKeyInfo, validity].map((element) =>
    element?.tag === TAG.sequence ? element : undefined,
  );
  const [issuerName, subjectName, keyInfo, { children: times = [] } = {}] = names;
  const [notBeforeMs, notAfterMs] = [decodeTime(times[0]), decodeTime(times[1])];
  if (issuerName === undefined || subjectName === undefined || keyInfo === undefined) {
    return undefined;
  }
  if (notBeforeMs === undefined || notAfterMs === undefined || times.length > 2) return undefined;
  if (serial === undefined || serial.length > LONGEST_SERIAL_BYTES) return undefined;
  if (extensions === undefined) return undefined;
  return {
    ...extensions,
    serial: serial.toString("hex").toUpperCase(),
    issuer: issuerName.whole,
    subject: subjectName.whole,
    notBeforeMs,
    notAfterMs,
    publicKeyInfo: keyInfo.whole,
    signed,
  };
}

function smallInteger(elements: readonly DerElement[]): number | undefined {
  const value = elements.length === 1 ? decodeInteger(elements[0]) : undefined;
  return value?.length === 1 ? value[0] : undefined;
}

function wrappedExtensions(element: DerElement | undefined): Extensions | undefined {
  if (element === undefined) return decodeExtensions([]);
  const [list, ...rest] = element.children;
  if (element.tag !== EXTENSIONS || list?.tag !== TAG.sequence || rest.length > 0) return undefined;
  return decodeExtensions(list.children);
}

// Which public keys and signatures a mesh takes: ECDSA on P-256 and P-384, and RSA of 2048 to 4096
// bits for what user's own authorities and Istio's agents bring. Not Ed25519: BoringSSL's peers
// (Envoy) refuse it in certificates unless told otherwise, and FIPS modules may lack it.

import assert from "node:assert/strict";
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import {
  type DerElement,
  decodeBitString,
  decodeDer,
  encodeBitString,
  encodeDer,
  encodeSequence,
  TAG,
} from "./der.ts";
import { isObjectId, OBJECT_ID } from "./object-id.ts";

/** Node's names of P-256 and P-384. */
const CURVES: readonly (string | undefined)[] = ["prime256v1", "secp384r1"];
const LEAST_RSA_BITS = 2_048;
/** A handshake must not cost what a key of 16,384 bits costs (fault F45). */
const MOST_RSA_BITS = 4_096;
const MOST_RSA_EXPONENT = 0xff_ff_ff_ffn;
const KEY_ID_BYTES = 20;

interface Algorithm {
  readonly name: "ecdsaWithSha256" | "ecdsaWithSha384" | `rsaWithSha${256 | 384 | 512}`;
  readonly keyType: "ec" | "rsa";
  readonly hash: string;
}

const ALGORITHMS: readonly Algorithm[] = [
  { name: "ecdsaWithSha256", keyType: "ec", hash: "sha256" },
  { name: "ecdsaWithSha384", keyType: "ec", hash: "sha384" },
  { name: "rsaWithSha256", keyType: "rsa", hash: "sha256" },
  { name: "rsaWithSha384", keyType: "rsa", hash: "sha384" },
  { name: "rsaWithSha512", keyType: "rsa", hash: "sha512" },
];

/**
 * The key in a SubjectPublicKeyInfo, or a text that says why it is none that we take, like "a key
 * of 1024 bits: RSA keys have 2048 to 4096". Never throws.
 */
export function decodePublicKey(info: Buffer): KeyObject | string {
  try {
    const key = createPublicKey({ key: info, format: "der", type: "spki" });
    return publicKeyProblem(key) ?? key;
  } catch {
    return "a key that cannot be read";
  }
}

/** Why a mesh does not take a key, public or private; undefined when it does. */
export function publicKeyProblem(key: KeyObject): string | undefined {
  const { namedCurve, modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "ec") {
    if (CURVES.includes(namedCurve)) return undefined;
    return `a key on the curve "${namedCurve ?? "unnamed"}": use P-256 or P-384`;
  }
  if (key.asymmetricKeyType !== "rsa") {
    return `a key of type "${key.asymmetricKeyType ?? key.type}": use ECDSA P-256`;
  }
  if (modulusLength < LEAST_RSA_BITS || modulusLength > MOST_RSA_BITS) {
    return `a key of ${modulusLength} bits: RSA keys have ${LEAST_RSA_BITS} to ${MOST_RSA_BITS}`;
  }
  if (publicExponent <= MOST_RSA_EXPONENT) return undefined;
  return "an RSA key whose public exponent is above 2^32";
}

/** The key as SubjectPublicKeyInfo, in DER. */
export function encodePublicKey(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" });
}

/** The name of a key within certificates: 160 bits of SHA-256 (RFC 7093, section 2, method 1). */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const bits = decodeBitString(decodeDer(encodePublicKey(publicKey))?.children[1]);
  assert.ok(bits !== undefined);
  return createHash("sha256").update(bits).digest().subarray(0, KEY_ID_BYTES);
}

/**
 * AlgorithmIdentifier of the signatures that `encodeSigned` makes.
 * @param key one that `publicKeyProblem` has nothing against
 */
export function encodeAlgorithm(key: KeyObject): Buffer {
  const { name, keyType } = algorithmOf(key);
  // RFC 3279 asks for NULL with RSA, RFC 5758 for nothing with ECDSA.
  const parameters = keyType === "rsa" ? [encodeDer(TAG.null)] : [];
  return encodeSequence(OBJECT_ID[name], ...parameters);
}

function algorithmOf(key: KeyObject): Algorithm {
  const is384 = key.asymmetricKeyDetails?.namedCurve === "secp384r1";
  const hash = is384 ? "sha384" : "sha256";
  const found = ALGORITHMS.find((a) => a.keyType === key.asymmetricKeyType && a.hash === hash);
  assert.ok(found !== undefined);
  return found;
}

/** Something signed: the form that certificates and CSRs share (RFC 5280, section 4.1.1). */
export interface SignedDer {
  /** The bytes that were signed. */
  readonly data: Buffer;
  /** AlgorithmIdentifier, whole. */
  readonly algorithm: DerElement;
  readonly signature: Buffer;
}

/** A body with the signature over it. */
export function encodeSigned(data: Buffer, key: KeyObject): Buffer {
  const signature = encodeBitString(sign(algorithmOf(key).hash, data, key));
  return encodeSequence(data, encodeAlgorithm(key), signature);
}

/** The body of something signed and what there is to check; undefined when it has another form. */
export function decodeSigned(der: Buffer): (SignedDer & { body: DerElement }) | undefined {
  const whole = decodeDer(der);
  if (whole?.tag !== TAG.sequence) return undefined;
  const [body, algorithm, bits, ...rest] = whole.children;
  const signature = decodeBitString(bits);
  if (body?.tag !== TAG.sequence || algorithm?.tag !== TAG.sequence) return undefined;
  // A signature is whole bytes: no bits of the last one are unused.
  if (signature === undefined || bits?.content[0] !== 0 || rest.length > 0) return undefined;
  return { body, data: body.whole, algorithm, signature };
}

/** Whether the holder of a key made the signature; false for algorithms that we do not take. */
export function isSignedBy(signed: SignedDer, key: KeyObject): boolean {
  const [name, parameters] = signed.algorithm.children;
  const algorithm = ALGORITHMS.find((known) => isObjectId(name, known.name));
  if (algorithm === undefined || algorithm.keyType !== key.asymmetricKeyType) return false;
  if (parameters !== undefined && parameters.tag !== TAG.null) return false;
  return verify(algorithm.hash, signed.data, key, signed.signature);
}

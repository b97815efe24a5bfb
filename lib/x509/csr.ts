// Certificate signing requests (PKCS #10, RFC 2986), of which an authority takes the key and the
// proof that the sender holds it. Names and extensions are the authority's to choose (threat T12).

import { createPublicKey, type KeyObject } from "node:crypto";
import { contextTag, decodeInteger, encodeDer, encodeInteger, encodeSequence, TAG } from "./der.ts";
import { URI_NAME } from "./extension.ts";
import { OBJECT_ID } from "./object-id.ts";
import {
  decodePublicKey,
  decodeSigned,
  encodePublicKey,
  encodeSigned,
  isSignedBy,
} from "./public-key.ts";

const ATTRIBUTES = contextTag(0, "constructed");

/** What there is to sign, or why there is nothing. */
export type DecodedCsr =
  | { readonly kind: "ok"; readonly publicKey: KeyObject }
  | { readonly kind: "invalid"; readonly problem: string };

/**
 * A request without a name, in DER.
 * @param uri asked for as the alternative name, as clients of Istio's CA do; ours do not ask
 */
export function encodeCsr(privateKey: KeyObject, uri?: string): Buffer {
  const attributes = uri === undefined ? [] : [encodeNameRequest(uri)];
  const body = encodeSequence(
    encodeInteger(Buffer.of(0)),
    encodeSequence(),
    encodePublicKey(createPublicKey(privateKey)),
    encodeDer(ATTRIBUTES, ...attributes),
  );
  return encodeSigned(body, privateKey);
}

function encodeNameRequest(uri: string): Buffer {
  const names = encodeSequence(encodeDer(URI_NAME, Buffer.from(uri)));
  const wrapped = encodeDer(TAG.octetString, names);
  const extension = encodeSequence(OBJECT_ID.subjectAlternativeName, wrapped);
  const values = encodeDer(TAG.set, encodeSequence(extension));
  return encodeSequence(OBJECT_ID.extensionRequest, values);
}

/**
 * The key of a request whose sender proved that it holds the private half; the rest of the request
 * is not read. Takes the keys of `publicKeyProblem`, signed with SHA-256 or better. Never throws.
 */
export function decodeCsr(der: Buffer): DecodedCsr {
  const signed = decodeSigned(der);
  const [version, subject, info, attributes, ...rest] = signed?.body.children ?? [];
  const isWhole = attributes?.tag === ATTRIBUTES && subject?.tag === TAG.sequence;
  if (signed === undefined || info === undefined || !isWhole || rest.length > 0) {
    return invalid("it is not a PKCS #10 request in DER");
  }
  if (decodeInteger(version)?.equals(Buffer.of(0)) !== true) return invalid("its version is not 1");
  const publicKey = decodePublicKey(info.whole);
  if (typeof publicKey === "string") return invalid(`it has ${publicKey}`);
  if (!isSignedBy(signed, publicKey)) return invalid("it is not signed with its own key");
  return { kind: "ok", publicKey };
}

function invalid(problem: string): DecodedCsr {
  return { kind: "invalid", problem };
}

// A signed chain, looked at before anybody uses it: the CA may be wrong, old, or not the CA.

import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { decodeCertificate } from "../../lib/x509/decoded-certificate.ts";
import { decodePem } from "../../lib/x509/pem.ts";
import { type SvidRefusal, type TrustBundles, verifySvid } from "../../lib/x509/svid.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import { Credential } from "./credential.ts";

/** A credential with what people ask about it. */
export interface CheckedCredential {
  readonly credential: Credential;
  readonly serial: string;
  /** A name as OpenSSL prints it, in one line. */
  readonly issuer: string;
  /** Wall time. */
  readonly issuedMs: number;
  readonly notAfterMs: number;
}

export type CredentialErrorCode = SvidRefusal | "other-key" | "other-identity";

/** The CA answered with something that proves nothing. */
export class CredentialError extends Error {
  readonly code: CredentialErrorCode;

  constructor(identity: SpiffeUri, code: CredentialErrorCode) {
    const hint = code === "expired" || code === "not-yet-valid" ? " by this node's clock" : "";
    super(`Cannot use the certificate for ${identity}: ${code}${hint}`);
    this.name = "CredentialError";
    this.code = code;
  }
}

/**
 * Takes a chain that was signed for `key`, leaf first, each an own PEM text or all in one.
 * @throws CredentialError unless it proves `identity` to whoever has `bundles`, at `nowMs` (wall)
 */
export function checkCredential(
  chain: readonly string[],
  { key, identity }: { readonly key: KeyObject; readonly identity: SpiffeUri },
  { bundles, nowMs }: { readonly bundles: TrustBundles; readonly nowMs: number },
): CheckedCredential {
  const ders = chain.flatMap(decodePem);
  const verdict = verifySvid(ders, bundles, nowMs);
  if (verdict.kind === "refused") throw new CredentialError(identity, verdict.reason);
  if (verdict.uri !== identity) throw new CredentialError(identity, "other-identity");
  const leaf = ders[0] ?? Buffer.alloc(0);
  const ours = createPublicKey(key).export({ type: "spki", format: "der" });
  const isOurs = decodeCertificate(leaf)?.publicKeyInfo.equals(ours) === true;
  if (!isOurs) throw new CredentialError(identity, "other-key");
  const { serial, issuedMs, notAfterMs } = verdict;
  return {
    credential: new Credential(chain.join(""), notAfterMs, key),
    serial,
    issuer: new X509Certificate(leaf).issuer.replaceAll("\n", ", "),
    issuedMs,
    notAfterMs,
  };
}

/** Whether peers who have `bundles` take a credential, at `nowMs` (wall). */
export function isTrusted(
  { chain }: Credential,
  { bundles, nowMs }: { readonly bundles: TrustBundles; readonly nowMs: number },
): boolean {
  return verifySvid(decodePem(chain), bundles, nowMs).kind === "ok";
}

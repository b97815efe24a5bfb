// The certificate authority itself: it turns a key and a name that others have vouched for into a
// certificate. Who may have which name is not known here.

import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import {
  BACKDATED_MS,
  type CertificateSigner,
  encodeServerCertificate,
  encodeWorkloadCertificate,
  type IssuanceTerms,
  signerOf,
} from "../../lib/x509/certificate.ts";
import { decodeCertificate } from "../../lib/x509/decoded-certificate.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import { formatSpiffeId, parseSpiffeId, type WorkloadIdentity } from "../../lib/x509/spiffe-id.ts";

/** How long a leaf may be valid. */
export const LEAF_LIFETIME = {
  leastMs: 10 * 60_000,
  defaultMs: 24 * 3_600_000,
  mostMs: 7 * 24 * 3_600_000,
} as const;

const SERIAL_BYTES = 16;
const SECOND_MS = 1_000;

/** What signs: `readMaterial` makes it from text and has checked that it fits together. */
export interface AuthoritySigner {
  /** PEM, the certificate of the key first, then what leads to the root. */
  readonly certificateChain: readonly string[];
  /** Private. */
  readonly key: KeyObject;
}

export interface CertificateAuthorityOptions {
  readonly trustDomain: string;
  readonly signer: AuthoritySigner;
  /** PEM: what peers must trust, older and newer roots included. */
  readonly roots: readonly string[];
  /** Of leaves that ask for nothing less. Within `LEAF_LIFETIME`. @default 24 hours */
  readonly leafLifetimeMs?: number;
  readonly clock: Pick<Clock, "wallMs">;
  readonly randomBytes: (lengthBytes: number) => Buffer;
}

export interface IssuedCertificate {
  /** PEM, leaf first, without the root. */
  readonly chain: readonly string[];
  /** Hexadecimal in upper case, as OpenSSL prints it. */
  readonly serial: string;
  readonly notAfterMs: number;
}

/** The signer's own certificate has come to its end, or is about to: nothing can be signed. */
export class AuthorityExpiredError extends Error {
  override readonly name = "AuthorityExpiredError";
  readonly code = "AUTHORITY_EXPIRED";
}

/** Signs for one trust domain with one key. A new key is a new authority. */
export class CertificateAuthority {
  readonly #options: CertificateAuthorityOptions;
  readonly #signer: CertificateSigner;
  /** PEM. */
  readonly #intermediates: readonly string[];
  /** The first end among the certificates of the chain. */
  readonly #notAfterMs: number;
  readonly #leafLifetimeMs: number;

  constructor(options: CertificateAuthorityOptions) {
    const { signer, leafLifetimeMs = LEAF_LIFETIME.defaultMs } = options;
    assert.equal(clampLifetime(leafLifetimeMs, LEAF_LIFETIME.mostMs), leafLifetimeMs);
    const chain = signer.certificateChain.flatMap(decodePem).map((der) => {
      const certificate = decodeCertificate(der);
      assert.ok(certificate !== undefined);
      return { der, certificate };
    });
    const own = chain[0] && signerOf(chain[0].der, signer.key);
    assert.ok(own !== undefined);
    this.#options = options;
    this.#signer = own;
    this.#leafLifetimeMs = leafLifetimeMs;
    this.#notAfterMs = Math.min(...chain.map(({ certificate }) => certificate.notAfterMs));
    this.#intermediates = chain
      .filter(({ certificate: { subject, issuer } }) => !subject.equals(issuer))
      .map(({ der }) => encodePem(der));
  }

  get trustDomain(): string {
    return this.#options.trustDomain;
  }

  /** PEM. */
  get roots(): readonly string[] {
    return this.#options.roots;
  }

  /**
   * An X.509-SVID for a workload.
   * @param publicKey from a request whose sender proved that it holds the private half
   * @param identity of this trust domain
   * @param node whose agent asked: written into the certificate
   * @param lifetimeMs brought within what the authority allows; the signer's own end comes first
   * @throws {AuthorityExpiredError}
   */
  issue(request: {
    readonly publicKey: KeyObject;
    readonly identity: WorkloadIdentity;
    readonly node: string;
    readonly lifetimeMs?: number;
  }): IssuedCertificate {
    const uri = formatSpiffeId(request.identity);
    assert.equal(parseSpiffeId(uri)?.trustDomain, this.trustDomain);
    const terms = this.#terms(request);
    const { node } = request;
    return this.#issued(terms, encodeWorkloadCertificate({ ...terms, uri, node }, this.#signer));
  }

  /**
   * A certificate for one of the control plane's own endpoints.
   * @throws {AuthorityExpiredError}
   */
  issueServer(request: {
    readonly publicKey: KeyObject;
    readonly dnsNames: readonly string[];
    readonly lifetimeMs?: number;
  }): IssuedCertificate {
    const { dnsNames } = request;
    assert.ok(dnsNames.length > 0);
    const terms = this.#terms(request);
    return this.#issued(terms, encodeServerCertificate({ ...terms, dnsNames }, this.#signer));
  }

  #terms(request: { readonly publicKey: KeyObject; readonly lifetimeMs?: number }): IssuanceTerms {
    const nowMs = this.#options.clock.wallMs();
    const lifetimeMs = clampLifetime(
      request.lifetimeMs ?? this.#leafLifetimeMs,
      this.#leafLifetimeMs,
    );
    const endMs = Math.min(nowMs + lifetimeMs, this.#notAfterMs);
    const notAfterMs = endMs - (endMs % SECOND_MS);
    if (notAfterMs <= nowMs) {
      const end = new Date(this.#notAfterMs).toISOString();
      throw new AuthorityExpiredError(`Cannot sign for "${this.trustDomain}": expired at ${end}`);
    }
    const notBeforeMs = nowMs - BACKDATED_MS;
    const serial = this.#options.randomBytes(SERIAL_BYTES);
    return { publicKey: request.publicKey, serial, notBeforeMs, notAfterMs };
  }

  #issued({ notAfterMs }: IssuanceTerms, leaf: Buffer): IssuedCertificate {
    const decoded = decodeCertificate(leaf);
    assert.ok(decoded !== undefined);
    return { chain: [encodePem(leaf), ...this.#intermediates], serial: decoded.serial, notAfterMs };
  }
}

function clampLifetime(lifetimeMs: number, mostMs: number): number {
  return Math.max(LEAF_LIFETIME.leastMs, Math.min(lifetimeMs, mostMs));
}

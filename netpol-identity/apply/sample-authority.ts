// An authority for tests that signs whatever it is asked to, and counts.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import {
  BACKDATED_MS,
  encodeRootCertificate,
  encodeWorkloadCertificate,
  signerOf,
} from "../../lib/x509/certificate.ts";
import { decodeCsr } from "../../lib/x509/csr.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import type { TrustBundles } from "../../lib/x509/svid.ts";

export const SAMPLE_DOMAIN = "cluster.local";
const YEAR_MS = 365 * 86_400_000;

export interface SampleAuthority {
  readonly bundles: TrustBundles;
  /** A chain for the key of a request, valid from `nowMs` on. */
  sign(csr: Buffer, uri: string, nowMs: number): readonly string[];
}

export function makeSampleAuthority(startMs: number, leafLifetimeMs: number): SampleAuthority {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const serial = (): Buffer => randomBytes(16);
  const root = encodeRootCertificate({
    key,
    commonName: `Sample ${serial().toString("hex")}`,
    trustDomain: SAMPLE_DOMAIN,
    serial: serial(),
    notBeforeMs: startMs - YEAR_MS,
    notAfterMs: startMs + YEAR_MS,
  });
  const signer = signerOf(root, key) ?? assert.fail("no signer");
  return {
    bundles: new Map([[SAMPLE_DOMAIN, [new X509Certificate(root)]]]),
    sign(csr, uri, nowMs) {
      const request = decodeCsr(csr);
      assert.ok(request.kind === "ok", "the request is one");
      const { publicKey } = request;
      const notBeforeMs = nowMs - BACKDATED_MS;
      const notAfterMs = nowMs + leafLifetimeMs;
      const terms = { publicKey, serial: serial(), notBeforeMs, notAfterMs };
      return [encodePem(encodeWorkloadCertificate({ ...terms, uri, node: "node-1" }, signer))];
    },
  };
}

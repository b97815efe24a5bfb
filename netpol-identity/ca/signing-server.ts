// The CA's own port: TLS with a certificate that the CA itself signs, renewed at half its life and
// whenever something else signs, without closing a connection.

import { generateKeyPairSync } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import {
  type ServerCertificate,
  type UnaryMethod,
  UnaryServer,
} from "../../lib/grpc/unary-server.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { BACKDATED_MS } from "../../lib/x509/certificate.ts";
import type { ActiveAuthority } from "./active-authority.ts";
import { AuthorityExpiredError } from "./authority.ts";
import type { CaMetrics } from "./ca-metrics.ts";
import { CREATE_CERTIFICATE, MAX_SIGNING_MESSAGE_BYTES } from "./signing-messages.ts";

export interface SigningServerOptions {
  readonly listen: { readonly host?: string; readonly port: number };
  readonly dnsNames: readonly string[];
  readonly active: () => ActiveAuthority | undefined;
  readonly createCertificate: UnaryMethod;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<CaMetrics, "expiry">;
}

const MAX_CALL_MS = 15_000;
/** How often the certificate is looked at. */
const LOOK_MS = 1_000;

interface OwnCertificate extends ServerCertificate {
  /** What signed it. */
  readonly signer: ActiveAuthority;
  readonly issuedMs: number;
  readonly notAfterMs: number;
}

/**
 * Serves from the moment when there is something to sign with, until `signal` aborts.
 * @throws when the port cannot be had
 */
export async function runSigningServer(
  options: SigningServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = options;
  let own = renewed(undefined, options);
  for (; own === undefined && !signal.aborted; own = renewed(undefined, options)) {
    await clock.sleep(LOOK_MS, signal);
  }
  if (own === undefined) return;
  await using server = new UnaryServer({
    methods: new Map([[CREATE_CERTIFICATE, options.createCertificate]]),
    certificate: own,
    clock,
    maxMessageBytes: MAX_SIGNING_MESSAGE_BYTES,
    maxCallMs: MAX_CALL_MS,
    onFault: (error) => log.error("a request for a certificate failed", { error }),
  });
  const port = await server.listen(options.listen);
  log.info("CA listens", { port });
  while (!signal.aborted) {
    await clock.sleep(LOOK_MS, signal);
    const next = renewed(own, options);
    if (next === undefined || next === own) continue;
    server.setCertificate(next);
    own = next;
  }
}

/** The same if it is good still; undefined when there is nothing to sign another one with. */
function renewed(
  own: OwnCertificate | undefined,
  options: SigningServerOptions,
): OwnCertificate | undefined {
  const signer = options.active();
  if (signer === undefined) return undefined;
  if (own !== undefined && !isDue(own, signer, options.clock.wallMs())) return own;
  try {
    return issueOwn(signer, options);
  } catch (error) {
    // Requests fail for the same reason, and say so.
    if (error instanceof AuthorityExpiredError) return undefined;
    throw error;
  }
}

/** Half its life is over, it begins in the future since the clock went back, or others sign now. */
function isDue(own: OwnCertificate, signer: ActiveAuthority, nowMs: number): boolean {
  const halfMs = own.issuedMs + (own.notAfterMs - own.issuedMs) / 2;
  return own.signer !== signer || nowMs >= halfMs || nowMs < own.issuedMs - BACKDATED_MS;
}

function issueOwn(
  signer: ActiveAuthority,
  { dnsNames, clock, metrics }: SigningServerOptions,
): OwnCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuedMs = clock.wallMs();
  const { chain, notAfterMs } = signer.authority.issueServer({ publicKey, dnsNames });
  metrics.expiry.set(notAfterMs / 1_000, { certificate: "server" });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { chain: chain.join(""), key, signer, issuedMs, notAfterMs };
}

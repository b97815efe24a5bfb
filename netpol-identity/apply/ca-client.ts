// The node's end of the signing API: one connection to the CA, the node's own token, one identity
// at a time. Whoever holds keys decides when to ask and how long to wait after a failure.

import { readFile } from "node:fs/promises";
import type { Clock } from "../../lib/clock/clock.ts";
import { GrpcError } from "../../lib/grpc/grpc-error.ts";
import { type Endpoint, UnaryClient } from "../../lib/grpc/unary-client.ts";
import { readCertificate } from "../../lib/x509/pem.ts";
import { formatSpiffeId, type WorkloadIdentity } from "../../lib/x509/spiffe-id.ts";
import {
  CREATE_CERTIFICATE,
  decodeCertificateResponse,
  encodeCertificateRequest,
  encodeCsrPem,
  MAX_SIGNING_MESSAGE_BYTES,
} from "../ca/signing-messages.ts";
import { CaClientError, caFailureOf } from "./ca-client-error.ts";

/** What the CA's certificate says wherever it is dialled. */
export const CA_SERVER_NAME = "innermesh-ca.innermesh-system.svc";
export const CA_TIMEOUT_MS = 10_000;

export interface CaClientOptions {
  /** Where the CA is now; undefined while nobody knows. */
  readonly endpoint: () => Endpoint | undefined;
  /** @default CA_SERVER_NAME */
  readonly serverName?: string;
  /** PEM of the roots of the own trust domain, as its bundle says now. */
  readonly roots: () => readonly string[];
  /** Of a projected token for the CA's audience; read for each request, since it is replaced. */
  readonly tokenPath: string;
  readonly clock: Clock;
}

export interface SigningWish {
  /** Of a PKCS #10 request. */
  readonly csrDer: Buffer;
  readonly identity: WorkloadIdentity;
  /** Missing: what the CA gives by itself. */
  readonly lifetimeMs?: number;
}

export interface SignedChain {
  /** PEM, the leaf first, then intermediates; no root. */
  readonly chain: readonly string[];
}

export class CaClient implements Disposable {
  readonly #options: CaClientOptions;
  readonly #grpc: UnaryClient;

  constructor(options: CaClientOptions) {
    const { endpoint, roots, clock, serverName = CA_SERVER_NAME } = options;
    const maxMessageBytes = MAX_SIGNING_MESSAGE_BYTES;
    this.#options = options;
    this.#grpc = new UnaryClient({ endpoint, serverName, roots, clock, maxMessageBytes });
  }

  /**
   * Asks for one certificate.
   * @throws CaClientError
   */
  async sign(wish: SigningWish, signal: AbortSignal): Promise<SignedChain> {
    const { csrDer, identity, lifetimeMs = 0 } = wish;
    const id = formatSpiffeId(identity);
    const message = encodeCertificateRequest({
      csr: encodeCsrPem(csrDer),
      identity: id,
      validitySeconds: Math.floor(lifetimeMs / 1_000),
    });
    const authorization = `Bearer ${await this.#readToken(id)}`;
    const call = { path: CREATE_CERTIFICATE, message, authorization, timeoutMs: CA_TIMEOUT_MS };
    try {
      return readAnswer(await this.#grpc.call({ ...call, signal }), id);
    } catch (cause) {
      if (!(cause instanceof GrpcError)) throw cause;
      const failure = { code: caFailureOf(cause.code), cause };
      throw new CaClientError(`Cannot get a certificate for ${id}: ${cause.message}`, failure);
    }
  }

  /** Ends the connection and every request on it. */
  [Symbol.dispose](): void {
    this.#grpc[Symbol.dispose]();
  }

  async #readToken(id: string): Promise<string> {
    try {
      return (await readFile(this.#options.tokenPath, "utf8")).trim();
    } catch (cause) {
      const failure = { code: "unavailable", cause } as const;
      throw new CaClientError(`Cannot get a certificate for ${id}: no token to show`, failure);
    }
  }
}

/** The roots, which come last for Istio's sake, are left out: trust is not learned this way. */
function readAnswer(message: Uint8Array, id: string): SignedChain {
  const refuse = (why: string): never => {
    throw new CaClientError(`Cannot use the certificate for ${id}: ${why}`, { code: "invalid" });
  };
  const decoded = decodeCertificateResponse(message);
  if (decoded.kind === "invalid") return refuse(decoded.problem);
  const [leaf, ...rest] = decoded.value.map((pem) => readCertificate(pem) ?? refuse("no PEM"));
  if (leaf?.subjectAltName !== `URI:${id}`) return refuse("it names somebody else");
  const intermediates = rest.filter((certificate) => !certificate.checkIssued(certificate));
  return { chain: [leaf, ...intermediates].map((certificate) => certificate.toString()) };
}

// One request for a certificate, from the token to the audit line: who asks, for whom, and whether
// that is theirs to have. The request contributes a key and nothing else (threats T10–T12).

import type { Clock } from "../../lib/clock/clock.ts";
import { KeyedBuckets } from "../../lib/clock/keyed-buckets.ts";
import type { UnaryAnswer, UnaryRequest } from "../../lib/grpc/unary-server.ts";
import { KubeApiError } from "../../lib/kube/kube-api-error.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { decodeCsr } from "../../lib/x509/csr.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";
import type { ActiveAuthority } from "./active-authority.ts";
import { AuthorityExpiredError, type IssuedCertificate } from "./authority.ts";
import { isBanned } from "./ca-bans.ts";
import type { CaMetrics } from "./ca-metrics.ts";
import { type Caller, type CallerRules, formatCaller, judgeCaller } from "./caller.ts";
import { CallerLimit } from "./caller-limit.ts";
import type { CallerReview } from "./caller-review.ts";
import { type Entitlement, type EntitlementRules, judgeEntitlement } from "./entitlement.ts";
import {
  type CertificateRequest,
  decodeCertificateRequest,
  decodeCsrPem,
  encodeCertificateResponse,
} from "./signing-messages.ts";
import { type Refusal, refusal } from "./signing-refusal.ts";

export interface SigningServiceOptions {
  /** What signs now; undefined while there is none. */
  readonly active: () => ActiveAuthority | undefined;
  readonly bans: () => readonly NodeBan[];
  readonly callers: Pick<CallerReview, "review" | "knows">;
  /** Its pods are those of the whole cluster. */
  readonly store: Pick<KubeStore, "pods" | "synced">;
  readonly rules: CallerRules & EntitlementRules;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<CaMetrics, "issued" | "refused" | "duration">;
}

/** A node that starts asks for as many identities as it has; kubelets run 110 to 500 pods. */
export const NODE_LIMIT = { burst: 600, perSecond: 10 } as const;
/** Requests at a time, of all callers. */
export const MAX_UNDER_WAY = 256;
const BEARER = /^bearer +([\w.~+/-]+=*) *$/i;

interface Wish {
  readonly request: CertificateRequest;
  readonly caller: Caller;
  readonly active: ActiveAuthority;
}

export class SigningService {
  readonly #options: SigningServiceOptions;
  readonly #nodeLimit: KeyedBuckets;
  readonly #callerLimit: CallerLimit;
  #underWay = 0;

  constructor(options: SigningServiceOptions) {
    const { clock, rules, store } = options;
    const { accounts } = rules;
    this.#options = options;
    this.#nodeLimit = new KeyedBuckets({ ...NODE_LIMIT, nowMs: () => clock.monotonicMs() });
    this.#callerLimit = new CallerLimit({ accounts, pods: () => store.pods, clock });
  }

  /** Answers CreateCertificate. Rejects for bugs only. */
  async createCertificate(request: UnaryRequest): Promise<UnaryAnswer> {
    const { clock, metrics } = this.#options;
    const startMs = clock.monotonicMs();
    this.#underWay++;
    try {
      const answer = await this.#answer(request);
      if (answer.kind === "ok") metrics.issued.add(1);
      else metrics.refused.add(1, { reason: answer.reason });
      return answer;
    } finally {
      this.#underWay--;
      metrics.duration.observe((clock.monotonicMs() - startMs) / 1_000);
    }
  }

  async #answer(request: UnaryRequest): Promise<(UnaryAnswer & { kind: "ok" }) | Refusal> {
    if (this.#underWay > MAX_UNDER_WAY) return refusal("busy", "The CA is busy: try again later.");
    const active = this.#options.active();
    if (active === undefined || !this.#options.store.synced) {
      return refusal("not-ready", "The CA has just started: try again soon.");
    }
    const caller = await this.#authenticate(request);
    if (caller.kind === "refused") return caller;
    const wish = decodeCertificateRequest(request.message);
    if (wish.kind === "invalid") return refusal("bad-request", `Bad request: ${wish.problem}.`);
    if (!this.#nodeLimit.take(caller.node)) {
      return refusal("node-limit", `Node ${caller.node} asks too often: try again later.`);
    }
    const issued = this.#issue({ request: wish.value, caller, active });
    if (issued.kind === "refused") {
      const { identity } = wish.value;
      this.#tellRefusal(issued, { identity, node: caller.node, caller: formatCaller(caller) });
      return issued;
    }
    const message = encodeCertificateResponse([...issued.certificate.chain, ...active.roots]);
    return { kind: "ok", message };
  }

  async #authenticate({ authorization, peer }: UnaryRequest): Promise<Caller | Refusal> {
    const { callers, rules, store } = this.#options;
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) {
      return refusal("no-token", "Show a ServiceAccount token as authorization: Bearer.");
    }
    const tell = this.#callerLimit.admit(token, peer, callers.knows(token));
    if (tell === undefined) {
      return refusal("failure-limit", "Too many tokens were refused: try again later.");
    }
    try {
      const caller = judgeCaller(await callers.review(token), rules, store.pods);
      tell(caller.kind === "refused" ? "refused" : "accepted");
      if (caller.kind === "refused") this.#tellRefusal(caller, { peer });
      return caller;
    } catch (error) {
      if (!(error instanceof KubeApiError)) throw error;
      tell("unanswered");
      this.#options.log.warn("cannot review a token", { error });
      return refusal("not-ready", "The API server does not answer: try again soon.");
    }
  }

  #issue({ request, caller, active }: Wish): Issued | Refusal {
    const { bans, rules, store, clock, log } = this.#options;
    const { node } = caller;
    if (isBanned(bans(), node, clock.wallMs())) {
      return refusal("banned", `Node ${node} is banned: an administrator has to let it in again.`);
    }
    const entitled = judgeEntitlement(request.identity, caller, rules, store.pods.values());
    if (entitled.kind === "refused") return entitled;
    const der = decodeCsrPem(request.csr);
    if (der === undefined) return refusal("bad-request", "csr is no PEM of a certificate request.");
    const csr = decodeCsr(der);
    if (csr.kind === "invalid") return refusal("bad-request", `Bad csr: ${csr.problem}.`);
    const { validitySeconds } = request;
    try {
      const certificate = active.authority.issue({
        publicKey: csr.publicKey,
        identity: entitled.identity,
        node,
        ...(validitySeconds > 0 && { lifetimeMs: validitySeconds * 1_000 }),
      });
      this.#audit(certificate, entitled, caller);
      return { kind: "issued", certificate };
    } catch (error) {
      if (!(error instanceof AuthorityExpiredError)) throw error;
      log.error("cannot sign", { error });
      return refusal(
        "not-ready",
        "The CA's own certificate has expired: an administrator must act.",
      );
    }
  }

  #audit(
    { serial, notAfterMs }: IssuedCertificate,
    { identity }: Entitlement,
    caller: Caller,
  ): void {
    this.#options.log.info("certificate issued", {
      identity: formatSpiffeId(identity),
      node: caller.node,
      serial,
      notAfter: new Date(notAfterMs).toISOString(),
      caller: formatCaller(caller),
      callerUid: caller.podUid,
    });
  }

  #tellRefusal({ reason, why }: Refusal, about: Readonly<Record<string, string>>): void {
    this.#options.log.warn("certificate refused", { ...about, reason, why });
  }
}

interface Issued {
  readonly kind: "issued";
  readonly certificate: IssuedCertificate;
}

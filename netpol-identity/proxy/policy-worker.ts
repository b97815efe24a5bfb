// Everything of policies in one proxy worker: the plan, who asks it, and what is counted.

import type { Address } from "../../lib/ip/address.ts";
import type { WorkerDenial } from "../model/denial-report.ts";
import type { RecordedRequest } from "../model/edge-report.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { PolicyPlanDelta } from "../plan/policy-plan.ts";
import type { Authorize } from "../tunnel/tunnel-parts.ts";
import { DenialRing } from "./denial-ring.ts";
import { PolicyDialer, type PolicyDialerParts } from "./policy-dialer.ts";
import { type PolicyAudit, PolicyJudge } from "./policy-judge.ts";
import { PolicyTables } from "./policy-tables.ts";
import { PolicyTelemetry, type PolicyTelemetryMessage } from "./policy-telemetry.ts";
import { RequestRing } from "./request-ring.ts";

/** How often what goes on is asked about again, if policies changed. */
const REJUDGE_PERIOD_MS = 1_000;

export interface PolicyWorkerParts {
  /** Hears of flows that a rule wants to be told. */
  readonly onAudit: (audit: PolicyAudit) => void;
  /** An address of this node itself. */
  readonly isHost: (address: Address) => boolean;
}

export class PolicyWorker {
  readonly #tables = new PolicyTables();
  readonly #telemetry = new PolicyTelemetry();
  readonly #denials = new DenialRing();
  readonly #requests = new RequestRing();
  readonly #judge: PolicyJudge;

  readonly #isHost: (address: Address) => boolean;

  constructor({ onAudit, isHost }: PolicyWorkerParts) {
    const [tables, telemetry] = [this.#tables, this.#telemetry];
    this.#isHost = isHost;
    this.#judge = new PolicyJudge({ tables, telemetry, onAudit, isHost });
  }

  /** What tunnels ask. */
  get authorize(): Authorize {
    return this.#judge.authorize;
  }

  get revision(): number {
    return this.#tables.revision;
  }

  /** Of the pod that has the address, enrolled or not. */
  identityAt(address: Address): SpiffeUri | undefined {
    return this.#tables.pod(address)?.identity;
  }

  apply(delta: PolicyPlanDelta): void {
    this.#tables.apply(delta);
  }

  /** For whoever dials on behalf of clients. */
  dialer(parts: Omit<PolicyDialerParts, "tables" | "judge" | "isHost" | "denied">): PolicyDialer {
    const [tables, judge, isHost] = [this.#tables, this.#judge, this.#isHost];
    const denied = (denial: Omit<WorkerDenial, "times">): void => this.denied(denial);
    const dialer = new PolicyDialer({ ...parts, tables, judge, isHost, denied });
    let judged = this.revision;
    setInterval(() => {
      if (judged === this.revision) return;
      judged = this.revision;
      dialer.rejudge();
    }, REJUDGE_PERIOD_MS).unref();
    return dialer;
  }

  /** Has it told: whoever ends what is denied says so. */
  denied(denial: Omit<WorkerDenial, "times">): void {
    this.#denials.add(denial);
  }

  /** Has it remembered, denied or not. @param endpoint `address:port` of the pod */
  requested(client: Address, endpoint: string, request: RecordedRequest): void {
    this.#requests.add(client, endpoint, request);
  }

  /** What happened since the last call. */
  telemetry(): PolicyTelemetryMessage {
    const [denials, requests] = [this.#denials.take(), this.#requests.take()];
    return {
      ...this.#telemetry.take(),
      ...(denials.length > 0 && { denials }),
      ...(requests.length > 0 && { requests }),
    };
  }
}

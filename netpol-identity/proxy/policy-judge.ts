// What policies say of a connection between two ends, as far as this node knows them. Each end is
// judged where its pod is: what the client may call at the client's node, who may call at the
// server's.

import type { Address } from "../../lib/ip/address.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Groups } from "../evaluate/policy-set.ts";
import type { Flow, Verdict } from "../evaluate/verdict.ts";
import type { Direction } from "../model/policy.ts";
import type { RequestFacts } from "../model/request-facts.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import type { Authorize, FlowVerdict, TunnelFlow } from "../tunnel/tunnel-parts.ts";
import type { PolicyTables } from "./policy-tables.ts";
import type { PolicyTelemetry } from "./policy-telemetry.ts";

/** Who connects to whom; null: nothing proves it. */
export interface PolicyFlow {
  readonly source: SpiffeUri | null;
  readonly client: Address;
  readonly destination: SpiffeUri | null;
  readonly target: SocketAddress;
}

/** A rule that decides nothing wants it to be told. */
export interface PolicyAudit {
  readonly rule: string;
  readonly direction: Direction;
  readonly flow: PolicyFlow;
}

export interface JudgeParts {
  readonly tables: PolicyTables;
  readonly telemetry: PolicyTelemetry;
  readonly onAudit: (audit: PolicyAudit) => void;
  /** An address of this node itself. */
  readonly isHost: (address: Address) => boolean;
}

/** Which verdicts are counted, and told where a rule wants that. */
export type Recording = "all" | "denials" | "none";

export class PolicyJudge {
  readonly #parts: JudgeParts;

  constructor(parts: JudgeParts) {
    this.#parts = parts;
  }

  /** Of a connection that an enrolled pod of this node makes or gets. */
  readonly authorize: Authorize = (flow, occasion) => {
    const { here, destination = null, ...rest } = flow;
    const recording = occasion === "begins" ? "all" : "none";
    const judged = { ...rest, destination };
    const egress = here === "target" ? undefined : this.egress(judged, recording);
    if (egress !== undefined && egress.kind !== "allow") return egress;
    return this.#isTargetHere(flow) ? this.ingress(judged, recording) : ALLOWED;
  };

  /** May the client, a pod of this node, call the target? */
  egress(flow: PolicyFlow, recording: Recording): FlowVerdict {
    const { tables, isHost } = this.#parts;
    const outward = this.#outward(flow);
    if (isHost(flow.target.address)) {
      // Of what passes nobody is told: rules of namespaces are not about it.
      const { kind, rule } = tables.judgeOwnNode(flow.client, outward);
      return kind === "allow" ? ALLOWED : this.#denied("egress", rule, recording);
    }
    const verdict = tables.judgeEgress(flow.client, outward);
    this.#record("egress", flow, verdict, recording);
    return verdict.kind === "allow" ? ALLOWED : { kind: "deny", rule: verdict.rule };
  }

  /** May the client call the target, a pod of this node? Nobody else is going to be asked. */
  ingress(flow: PolicyFlow, recording: Recording): FlowVerdict {
    const verdict = this.#inwardVerdict(flow, undefined);
    this.#record("ingress", flow, verdict, recording);
    if (verdict.kind === "allow") return ALLOWED;
    const { rule } = verdict;
    // Who is here is known: a certificate that nobody showed will not come any more.
    if (verdict.kind === "deny" || verdict.needs === "identity") return { kind: "deny", rule };
    const audited = new Set<string>();
    const judge = (request: RequestFacts): Verdict => this.#judgeRequest(flow, request, audited);
    return { kind: "inspect", rule, judge };
  }

  /** What the node of the target, a pod elsewhere, will say in the end; open where it may allow. */
  foresee(flow: PolicyFlow, recording: Recording): FlowVerdict {
    const { kind, rule } = this.#inwardVerdict(flow, undefined);
    return kind === "deny" ? this.#denied("ingress", rule, recording) : ALLOWED;
  }

  /** Where nothing but a denial is told. */
  #denied(direction: Direction, rule: string, recording: Recording): FlowVerdict {
    if (recording !== "none") this.#parts.telemetry.count(direction, "deny", rule);
    return { kind: "deny", rule };
  }

  /** Counts a request once, in however many readings. @param audited rules that matched some */
  #judgeRequest(flow: PolicyFlow, request: RequestFacts, audited: Set<string>): Verdict {
    const verdict = this.#inwardVerdict(flow, request);
    const told = verdict.kind === "open" ? ({ ...verdict, kind: "deny" } as const) : verdict;
    const isSettled = told.kind === "deny" || request.isReadAgain?.() !== true;
    if (isSettled) this.#parts.telemetry.count("ingress", told.kind, told.rule);
    this.#audit("ingress", flow, this.#inward(flow, request), audited);
    if (isSettled) audited.clear();
    return told;
  }

  /**
   * An address speaks for a pod only if the pod there has the identity that was proven: what its
   * labels allow, and what they forbid, is not lent to others. So both views must allow.
   */
  #inwardVerdict(flow: PolicyFlow, request: RequestFacts | undefined): Verdict {
    const { tables } = this.#parts;
    const { source, client, target } = flow;
    const inward = this.#inward(flow, request);
    const verdict = tables.judgeIngress(target.address, inward);
    if (source === null || tables.pod(client)?.identity === source) return verdict;
    if (verdict.kind === "deny") return verdict;
    const unplaced: Groups = { addresses: () => NOBODY, identities: (id) => tables.identities(id) };
    const other = tables.judgeIngress(target.address, inward, unplaced);
    return other.kind === "allow" ? verdict : other;
  }

  #inward(flow: PolicyFlow, request: RequestFacts | undefined): Flow {
    const { source, client, target } = flow;
    return {
      protocol: "TCP",
      port: target.port,
      address: client,
      identity: source,
      ...(request === undefined ? {} : { request }),
      ...(this.#isSelf(flow) ? { isSelf: true } : {}),
    };
  }

  #outward(flow: PolicyFlow): Flow {
    const { destination, target } = flow;
    return {
      protocol: "TCP",
      port: target.port,
      address: target.address,
      identity: destination,
      ...(this.#isSelf(flow) ? { isSelf: true } : {}),
    };
  }

  /** By addresses of either family; a certificate of somebody else's is not its own. */
  #isSelf({ source, client, target }: PolicyFlow): boolean {
    const { tables } = this.#parts;
    const pod = tables.pod(client);
    if (source !== null && pod?.identity !== source) return false;
    if (client === target.address) return true;
    return pod !== undefined && pod.uid === tables.pod(target.address)?.uid;
  }

  #isTargetHere({ here, target }: TunnelFlow): boolean {
    return here !== "client" || this.#parts.tables.pod(target.address)?.isLocal === true;
  }

  /** What is open is told of when a request has settled it. */
  #record(direction: Direction, flow: PolicyFlow, { kind, rule }: Verdict, how: Recording): void {
    if (how === "none" || kind === "open" || (how === "denials" && kind === "allow")) return;
    this.#parts.telemetry.count(direction, kind, rule);
    const seen = direction === "egress" ? this.#outward(flow) : this.#inward(flow, undefined);
    this.#audit(direction, flow, seen, new Set());
  }

  /** @param audited is told already, and gets what is told now */
  #audit(direction: Direction, flow: PolicyFlow, seen: Flow, audited: Set<string>): void {
    const { tables, telemetry, onAudit } = this.#parts;
    const address = direction === "egress" ? flow.client : flow.target.address;
    for (const rule of tables.auditsOf(direction, address, seen)) {
      if (audited.has(rule)) continue;
      audited.add(rule);
      telemetry.count(direction, "audit", rule);
      onAudit({ rule, direction, flow });
    }
  }
}

const ALLOWED: FlowVerdict = { kind: "allow" };
const NOBODY: ReadonlySet<string> = new Set();

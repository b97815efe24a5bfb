// Dials only where policies let a client go. Whoever chooses among endpoints asks first; whoever
// dials is asked again, and is led through the inspection of requests where rules are about those.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { Dialer, DialOptions, DialQuestion } from "../../lib/reactor/transparent-socket.ts";
import { InspectedDial } from "../tunnel/inspected-dial.ts";
import type { Inspect, JudgeRequest } from "../tunnel/inspection.ts";
import type { ProvenPair } from "../tunnel/tunnel-dialer.ts";
import type { FlowVerdict } from "../tunnel/tunnel-parts.ts";
import type { PolicyFlow, PolicyJudge, Recording } from "./policy-judge.ts";
import { NOT_KNOWN, type PolicyTables } from "./policy-tables.ts";

export interface PolicyDialerParts {
  readonly reactor: Reactor;
  /** Dials what is permitted. */
  readonly inner: Dialer;
  /** Dials pods of this node, without a tunnel. */
  readonly plain: Dialer;
  readonly inspect: Inspect;
  readonly tables: PolicyTables;
  readonly judge: PolicyJudge;
  /** Whom a connection of this client would prove to whom. */
  readonly pairOf: (to: Address, client: Address | undefined) => ProvenPair;
  /** An address of this node itself. */
  readonly isHost: (address: Address) => boolean;
}

interface Inspected {
  readonly dial: InspectedDial;
  readonly question: DialQuestion;
}

export class PolicyDialer implements Dialer {
  readonly #parts: PolicyDialerParts;
  readonly #inspected = new Set<Inspected>();

  constructor(parts: PolicyDialerParts) {
    this.#parts = parts;
  }

  get revision(): number {
    return this.#parts.tables.revision;
  }

  dial(options: DialOptions, owner: StreamOwner): ByteStream | string {
    const { source } = options;
    if (source === undefined) return this.#parts.inner.dial(options, owner);
    const question = { ...options, source };
    const verdict = this.#judge(question, "all");
    if (verdict.kind === "deny") return "EACCES";
    if (verdict.kind === "allow") return this.#parts.inner.dial(options, owner);
    return this.#inspect(options, question, verdict.judge, owner);
  }

  /** What is read on one client's connections is judged as that client's. */
  isPersonal(client: Address): boolean {
    return this.#parts.tables.readsRequests || this.#parts.inner.isPersonal(client);
  }

  refusal(question: DialQuestion): string | undefined {
    const below = this.#parts.inner.refusal(question);
    if (below !== undefined) return below;
    const verdict = this.#judge(question, "denials");
    return verdict.kind === "deny" ? verdict.rule : undefined;
  }

  /** Policies changed: requests under way that they allow no more are broken off. */
  rejudge(): void {
    for (const { dial, question } of this.#inspected) {
      dial.rejudge(this.#judge(question, "none"));
    }
  }

  /**
   * Processes of this node may call its pods, whatever policies say. A pod that nobody has told of
   * yet is restricted by no policy of its own, as in the kernel.
   */
  #judge(question: DialQuestion, recording: Recording): FlowVerdict {
    const { tables, judge, isHost } = this.#parts;
    const { to, source, from, client } = question;
    if (client === undefined && isHost(source)) return ALLOWED;
    if (tables.revision === 0) return { kind: "deny", rule: NOT_KNOWN.rule };
    const flow = this.#flowOf(question);
    if (client !== undefined && tables.pod(client) !== undefined) {
      const egress = judge.egress(flow, recording);
      if (egress.kind !== "allow") return egress;
    }
    const target = tables.pod(to.address);
    if (target?.isLocal === true) return judge.ingress(flow, recording);
    if (target === undefined || client === undefined) return ALLOWED;
    if (flow.destination !== null) return judge.foresee(flow, recording);
    // Without a tunnel the other node sees an address, and maybe not the client's.
    return from === client ? judge.foresee({ ...flow, source: null }, recording) : ALLOWED;
  }

  #inspect(
    options: DialOptions,
    question: DialQuestion,
    judge: JudgeRequest,
    owner: StreamOwner,
  ): ByteStream | string {
    const { reactor, plain, inspect } = this.#parts;
    const proof = proofOf(this.#flowOf(question));
    const dial = new InspectedDial(
      { reactor, inner: plain, inspect },
      options,
      { proof, judge },
      () => this.#inspected.delete(inspected),
    );
    const inspected = { dial, question };
    const stream = dial.dial(owner);
    if (typeof stream !== "string") this.#inspected.add(inspected);
    return stream;
  }

  #flowOf({ to, source, client }: DialQuestion): PolicyFlow {
    return { ...this.#parts.pairOf(to.address, client), client: source, target: to };
  }
}

function proofOf({ source, destination }: PolicyFlow): StreamProof | undefined {
  if (source === null || destination === null) return undefined;
  return { carrier: "node", source, endpoint: destination };
}

const ALLOWED: FlowVerdict = { kind: "allow" };

// Dials only where policies let a client go. Whoever chooses among endpoints asks first; whoever
// dials is asked again, and is led through the inspection of requests where rules are about those.

import type { Address } from "../../lib/ip/address.ts";
import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { Dialer, DialOptions, DialQuestion } from "../../lib/reactor/transparent-socket.ts";
import { InspectedDial } from "../tunnel/inspected-dial.ts";
import type { WorkerDenial } from "../model/denial-report.ts";
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
  /** Hears of what is ended here. */
  readonly denied: (denial: Omit<WorkerDenial, "times">) => void;
}

interface Inspected {
  readonly dial: InspectedDial;
  readonly question: DialQuestion;
}

/** Goes to a pod of this node, and no rule wanted to know what it says. */
interface Unread {
  readonly stream: ByteStream;
  readonly question: DialQuestion;
  readonly dialledMs: number;
}

const FEW = 1_024;
/** One that is not open after so long has ended. */
const DIALLED_WITHIN_MS = 60_000;
const UNREAD = "its requests would have to be read";

export class PolicyDialer implements Dialer {
  readonly #parts: PolicyDialerParts;
  readonly #inspected = new Set<Inspected>();
  readonly #unread = new Set<Unread>();
  /** When there are so many, those that have ended are forgotten. */
  #mostUnread = FEW;

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
    if (verdict.kind === "allow") return this.#pass(options, question, owner);
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

  /**
   * Policies changed: requests under way that they allow no more are broken off, and connections
   * whose requests nobody has read so far: they cannot be read from their middle on.
   */
  rejudge(): void {
    for (const { dial, question } of this.#inspected) {
      dial.rejudge(this.#judge(question, "none"));
    }
    const { tables, denied } = this.#parts;
    if (!tables.readsRequests) return;
    this.#forgetEnded();
    for (const one of this.#unread) {
      const { source, to } = one.question;
      if (this.#judge(one.question, "none").kind !== "inspect") continue;
      this.#unread.delete(one);
      const { owner } = one.stream;
      one.stream.reset();
      denied({ client: source, endpoint: to, rule: UNREAD });
      owner.onClosed("EACCES");
    }
  }

  /** What goes to a pod of this node may have to be read later. */
  #pass(options: DialOptions, question: DialQuestion, owner: StreamOwner): ByteStream | string {
    const { inner, tables, reactor } = this.#parts;
    const stream = inner.dial(options, owner);
    if (typeof stream === "string" || tables.pod(options.to.address)?.isLocal !== true) {
      return stream;
    }
    if (this.#unread.size >= this.#mostUnread) {
      this.#forgetEnded();
      this.#mostUnread = 2 * this.#unread.size + FEW;
    }
    this.#unread.add({ stream, question, dialledMs: reactor.nowMs });
    return stream;
  }

  #forgetEnded(): void {
    const { nowMs } = this.#parts.reactor;
    for (const one of this.#unread) {
      const isOver = !one.stream.isOpen && nowMs - one.dialledMs > DIALLED_WITHIN_MS;
      if (isOver) this.#unread.delete(one);
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

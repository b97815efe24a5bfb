// Asks every node's agent again and again which policies hold there. Agents may change no object,
// so the controller asks and writes for them.

import type { Clock } from "../../lib/clock/clock.ts";
import { type EnforcementReport, parseEnforcement } from "../model/enforcement-report.ts";
import type { NodeAnswer } from "../plan/policy-status.ts";
import type { AskAgent } from "./ask-agent.ts";

export interface EnforcementWatchParts {
  /** Where the agent of each node is; undefined for a node without one. */
  readonly agents: () => ReadonlyMap<string, string | undefined>;
  readonly ask: AskAgent;
  readonly clock: Clock;
}

/** From one round's beginning to the next's. */
export const ROUND_MS = 10_000;
/** After a change: nodes need a moment to follow. */
export const SOON_MS = 1_000;
/** An answer counts so long while no other comes: one that is late is no outage. */
export const PATIENCE_MS = 30_000;
const AT_A_TIME = 32;

interface Answered {
  readonly revision: string;
  readonly report: EnforcementReport;
  readonly atMs: number;
}

export class EnforcementWatch {
  readonly #parts: EnforcementWatchParts;
  readonly #answered = new Map<string, Answered>();
  readonly #listeners = new Set<() => void>();
  #answers: ReadonlyMap<string, NodeAnswer> | undefined;
  #hurry = (): void => {};

  constructor(parts: EnforcementWatchParts) {
    this.#parts = parts;
  }

  /** By node; undefined until all were asked. Another map after every round. */
  get answers(): ReadonlyMap<string, NodeAnswer> | undefined {
    return this.#answers;
  }

  /** Calls `listener` after every round. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What nodes have to hold changed: the next round begins soon. */
  hurry(): void {
    this.#hurry();
  }

  /** Asks until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      const nap = new AbortController();
      let isHurried = false;
      this.#hurry = () => {
        isHurried = true;
        nap.abort();
      };
      await this.#round(signal);
      if (signal.aborted) return;
      await clock.sleep(ROUND_MS, AbortSignal.any([signal, nap.signal]));
      if (isHurried) await clock.sleep(SOON_MS, signal);
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const agents = this.#parts.agents();
    for (const node of this.#answered.keys()) if (!agents.has(node)) this.#answered.delete(node);
    const answers = new Map<string, NodeAnswer>();
    const waiting = agents.entries();
    const work = async (): Promise<void> => {
      for (const [node, address] of waiting) {
        if (signal.aborted) return;
        answers.set(node, await this.#answerOf(node, address));
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    if (signal.aborted) return;
    this.#answers = answers;
    for (const listener of this.#listeners) listener();
  }

  async #answerOf(node: string, address: string | undefined): Promise<NodeAnswer> {
    if (address === undefined) return { kind: "silent", why: "no agent runs there" };
    const { clock } = this.#parts;
    const before = this.#answered.get(node);
    try {
      const answered = { ...(await this.#ask(address, before)), atMs: clock.monotonicMs() };
      this.#answered.set(node, answered);
      return { kind: "report", report: answered.report };
    } catch (error) {
      if (before !== undefined && clock.monotonicMs() - before.atMs < PATIENCE_MS) {
        return { kind: "report", report: before.report };
      }
      return { kind: "silent", why: error instanceof Error ? error.message : String(error) };
    }
  }

  /** The whole report only where it is another than before: there may be thousands of policies. */
  async #ask(address: string, before: Answered | undefined): Promise<Omit<Answered, "atMs">> {
    const { ask } = this.#parts;
    const revision = await ask(address, "/policyz/revision");
    if (revision === before?.revision) return before;
    return { revision, report: parseEnforcement(await ask(address, "/policyz")) };
  }
}

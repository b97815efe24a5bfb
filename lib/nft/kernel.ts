// The door to the real nf_tables, over nfnetlink. Encodes here, talks to the kernel in a worker
// thread, and turns refusals into sentences that name the change.

import assert from "node:assert/strict";
import { type Batch, encodeBatch } from "./encode.ts";
import type { Reply, Request } from "./nft-request.ts";
import {
  type Family,
  NftError,
  type NftKernel,
  type Place,
  type TableContents,
  type TableDigest,
  type Transaction,
} from "./objects.ts";
import { describeRefusal } from "./refusal.ts";
import { openSessionHere, openSessionWorker, type SessionThread } from "./session-thread.ts";
import { SetRegistry, tablesToLearn } from "./set-registry.ts";

/** What one batch cost, whether the kernel took it or not. */
export interface CommitReport {
  /** By family of the changes; the batch's own markers are left out. */
  readonly sentBytes: ReadonlyMap<Family, number>;
  /** How long the kernel took, without the time a batch waited for its thread. */
  readonly durationMs: number;
}

export interface NetlinkKernelOptions {
  /** "here" commits on the calling thread, for short-lived programs. @default "worker" */
  readonly thread?: "worker" | "here";
  /** Called after each batch. @default nobody */
  readonly onCommit?: (report: CommitReport) => void;
}

/** Opens nf_tables of the current network namespace. @throws NftError */
export async function openNetlinkKernel(options: NetlinkKernelOptions = {}): Promise<NftKernel> {
  const { thread = "worker", onCommit = () => {} } = options;
  const open = thread === "here" ? openSessionHere : openSessionWorker;
  const kernel = new NetlinkKernel(open, onCommit);
  await kernel.generation();
  return kernel;
}

class NetlinkKernel implements NftKernel {
  readonly #open: () => SessionThread;
  readonly #onCommit: (report: CommitReport) => void;
  readonly #thread: SessionThread;
  #sets = new SetRegistry();
  /** Commits wait for each other: each encodes with what the one before has made. */
  #lastCommit: Promise<void> = Promise.resolve();

  constructor(open: () => SessionThread, onCommit: (report: CommitReport) => void) {
    this.#open = open;
    this.#onCommit = onCommit;
    this.#thread = open();
  }

  commit(transactions: readonly Transaction[]): Promise<void> {
    const commit = this.#lastCommit.then(() => this.#commit(transactions));
    this.#lastCommit = commit.catch(() => {});
    return commit;
  }

  async read(family: Place, table: string): Promise<TableContents | undefined> {
    const request = { kind: "read", family, table } as const;
    const action = `read table ${family} ${table}`;
    return (await this.#aside((thread) => ask(thread, action, request))).contents;
  }

  async digest(family: Place, table: string): Promise<TableDigest | undefined> {
    const request = { kind: "digest", family, table } as const;
    const action = `compare table ${family} ${table}`;
    return (await this.#aside((thread) => ask(thread, action, request))).digest;
  }

  async readRules(
    family: Place,
    table: string,
    only?: readonly string[],
  ): Promise<TableContents["chains"]> {
    const reply = await ask(this.#thread, `list rules of ${family} ${table}`, {
      kind: "rules",
      family,
      table,
      ...(only && { only }),
    });
    return reply.chains;
  }

  async readCounters(family: Place, table: string): Promise<ReadonlyMap<string, number>> {
    const action = `read counters of ${family} ${table}`;
    return (await ask(this.#thread, action, { kind: "counters", family, table })).counters;
  }

  async generation(): Promise<number> {
    const reply = await ask(this.#thread, "read the nft generation", { kind: "generation" });
    return reply.generation;
  }

  async close(): Promise<void> {
    await this.#lastCommit;
    await this.#thread.close();
  }

  /** Reading takes up to a second: on a thread of its own, so that no commit waits for it. */
  async #aside<T>(work: (thread: SessionThread) => Promise<T>): Promise<T> {
    await this.#lastCommit;
    const thread = this.#open();
    try {
      return await work(thread);
    } finally {
      await thread.close();
    }
  }

  async #commit(transactions: readonly Transaction[]): Promise<void> {
    for (const { family, table } of tablesToLearn(this.#sets, transactions)) {
      const reply = await ask(this.#thread, "list nft sets", { kind: "sets", family, table });
      for (const set of reply.sets) this.#sets.remember(family, table, set.name, set.isInterval);
    }
    const batch = encodeBatch(transactions, this.#sets);
    if (batch.acknowledged === undefined) return;
    const reply = await ask(this.#thread, "commit an nft batch", {
      kind: "commit",
      batch: batch.bytes,
    });
    this.#onCommit({ sentBytes: batch.familyBytes, durationMs: reply.durationMs });
    checkAnswers(batch, reply);
    this.#sets = batch.sets;
  }
}

async function ask<Kind extends Request["kind"]>(
  thread: SessionThread,
  action: string,
  request: Extract<Request, { kind: Kind }>,
): Promise<Extract<Reply, { kind: Kind }>> {
  const reply = await thread.ask(request);
  if (reply.kind === "failed") throw new NftError(action, reply.code, { detail: reply.detail });
  assert(answers(reply, request.kind), `Asked nf_tables for ${request.kind}: got ${reply.kind}`);
  return reply;
}

function answers<Kind extends Request["kind"]>(
  reply: Reply,
  kind: Kind,
): reply is Extract<Reply, { kind: Kind }> {
  return reply.kind === kind;
}

/** @throws NftError for the first refusal: those after it only follow from it */
function checkAnswers(batch: Batch, reply: Extract<Reply, { kind: "commit" }>): void {
  const refusal = reply.answers.find(({ errno }) => errno !== 0);
  if (refusal !== undefined) throw describeRefusal(batch, reply.batch, refusal);
  if (!reply.answers.some(({ sequence }) => sequence === batch.acknowledged)) {
    throw new NftError("commit an nft batch", "EIO", { detail: "no acknowledgement" });
  }
}

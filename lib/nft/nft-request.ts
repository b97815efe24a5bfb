// What `kernel.ts` asks of an `NftSession`, as values that cross a thread boundary.

import { SystemError } from "../sys/ffi.ts";
import type { SetDescription } from "./decode.ts";
import { type Answer, NftSession } from "./nft-session.ts";
import type { Place, TableContents, TableDigest } from "./objects.ts";
import { digestTable } from "./table-digest.ts";

export type Request =
  | { readonly kind: "commit"; readonly batch: Uint8Array<ArrayBuffer> }
  | { readonly kind: "sets"; readonly family: Place; readonly table: string }
  | { readonly kind: "read"; readonly family: Place; readonly table: string }
  | { readonly kind: "digest"; readonly family: Place; readonly table: string }
  | {
      readonly kind: "rules";
      readonly family: Place;
      readonly table: string;
      /** @default all of them */
      readonly only?: readonly string[];
    }
  | { readonly kind: "counters"; readonly family: Place; readonly table: string }
  | { readonly kind: "generation" };

export type Reply =
  | {
      readonly kind: "commit";
      readonly answers: readonly Answer[];
      /** The batch comes back, to find which of its elements was refused. */
      readonly batch: Uint8Array<ArrayBuffer>;
      /** From sending it to the last answer. */
      readonly durationMs: number;
    }
  | { readonly kind: "sets"; readonly sets: readonly SetDescription[] }
  | { readonly kind: "read"; readonly contents: TableContents | undefined }
  | { readonly kind: "digest"; readonly digest: TableDigest | undefined }
  | { readonly kind: "rules"; readonly chains: TableContents["chains"] }
  | { readonly kind: "counters"; readonly counters: ReadonlyMap<string, number> }
  | { readonly kind: "generation"; readonly generation: number }
  | { readonly kind: "failed"; readonly code: string; readonly detail: string };

/** Answers requests; opens the session at the first, so that a refusal reaches whoever asked. */
export interface Answerer {
  /** A failing system call is a reply; a bug throws. */
  answer(request: Request): Reply;
  close(): void;
}

/** @param monotonicMs measures how long commits take */
export function makeAnswerer(monotonicMs: () => number): Answerer {
  let session: NftSession | undefined;
  return {
    answer: (request) => {
      try {
        session ??= new NftSession();
        return run(session, request, monotonicMs);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
        return { kind: "failed", code: cause.code, detail: cause.message };
      }
    },
    close: () => session?.close(),
  };
}

function run(session: NftSession, request: Request, monotonicMs: () => number): Reply {
  switch (request.kind) {
    case "commit": {
      const { batch } = request;
      const startMs = monotonicMs();
      const answers = session.commit(batch);
      return { kind: "commit", answers, batch, durationMs: monotonicMs() - startMs };
    }
    case "sets":
      return { kind: "sets", sets: session.sets(request.family, request.table) };
    case "read":
      return { kind: "read", contents: session.read(request.family, request.table) };
    case "digest": {
      const contents = session.read(request.family, request.table);
      return { kind: "digest", digest: contents && digestTable(contents) };
    }
    case "rules":
      return { kind: "rules", chains: readRules(session, request) };
    case "counters":
      return { kind: "counters", counters: session.readCounters(request.family, request.table) };
    case "generation":
      return { kind: "generation", generation: session.generation() };
    default:
      return request satisfies never;
  }
}

function readRules(
  session: NftSession,
  { family, table, only }: Extract<Request, { kind: "rules" }>,
): TableContents["chains"] {
  return only === undefined
    ? session.readRules(family, table)
    : session.readRulesOf(family, table, only);
}

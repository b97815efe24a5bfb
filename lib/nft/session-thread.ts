// Runs requests to an `NftSession` here or in a worker thread, behind one function type.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { systemClock } from "../clock/system-clock.ts";
import { makeAnswerer, type Reply, type Request } from "./nft-request.ts";

/** Somebody who answers requests in order. */
export interface SessionThread {
  ask(request: Request): Promise<Reply>;
  close(): Promise<void>;
}

/** Answers on the calling thread: for short-lived programs, which a blocked loop does not hurt. */
export function openSessionHere(): SessionThread {
  const answerer = makeAnswerer(() => systemClock.monotonicMs());
  return {
    ask: async (request) => answerer.answer(request),
    close: async () => answerer.close(),
  };
}

/**
 * Answers in a worker thread. The worker keeps the process alive only while a request is open; a
 * batch's buffer is transferred, not copied.
 */
export function openSessionWorker(): SessionThread {
  // Not the parent's options: some, like `--input-type`, stop a worker from starting.
  const execArgv = ["--disable-warning=ExperimentalWarning"];
  const worker = new Worker(new URL("./commit-worker.ts", import.meta.url), { execArgv });
  const waiting: ((reply: Reply) => void)[] = [];
  let failure: Reply | undefined;
  const fail = (detail: string): void => {
    failure = { kind: "failed", code: "EIO", detail };
    for (const resolve of waiting.splice(0)) resolve(failure);
  };
  worker.on("message", (reply: Reply) => {
    waiting.shift()?.(reply);
    if (waiting.length === 0) worker.unref();
  });
  worker.on("error", (error) => fail(`worker thread failed: ${String(error)}`));
  worker.on("exit", () => fail("worker thread has ended"));
  worker.unref();
  return {
    ask: (request) =>
      new Promise((resolve) => {
        if (failure !== undefined) return resolve(failure);
        waiting.push(resolve);
        worker.ref();
        worker.postMessage(request, request.kind === "commit" ? [request.batch.buffer] : []);
      }),
    close: async () => {
      if (failure !== undefined) return;
      worker.ref();
      // Not `terminate`: that would leave the worker's socket open.
      worker.postMessage("close");
      await once(worker, "exit");
    },
  };
}

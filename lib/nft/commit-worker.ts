// The worker thread behind `openNetlinkKernel`: talks to nf_tables of the network namespace of the
// thread that started it, one request after the other.

import assert from "node:assert/strict";
import { parentPort } from "node:worker_threads";
import { systemClock } from "../clock/system-clock.ts";
import { makeAnswerer, type Request } from "./nft-request.ts";

const port = parentPort;
assert(port !== null, "commit-worker.ts runs as a worker thread");
const answerer = makeAnswerer(() => systemClock.monotonicMs());

port.on("message", (request: Request | "close") => {
  if (request === "close") {
    answerer.close();
    port.close();
    return;
  }
  const reply = answerer.answer(request);
  port.postMessage(reply, reply.kind === "commit" ? [reply.batch.buffer] : []);
});

// The thread behind `dumpOnThread`: reads one part of the dump for each message it gets.

import { parentPort, workerData } from "node:worker_threads";
import { type DumpOrder, dumpHere } from "./dump.ts";

const port = parentPort;
if (port === null) throw new Error("Cannot dump here: this file runs as a worker thread only");
const order: DumpOrder = workerData;

const dump = dumpHere(order);
port.on("message", () => {
  void dump.next().then((part) => {
    port.postMessage(part, part.kind === "bytes" ? [part.bytes.buffer] : []);
  });
});

// Whole lines of a socket, between processes that may die at any moment: what is left of a line
// then is no line.

import type { Duplex } from "node:stream";
import { makeLineSplitter } from "../../lib/kube/line-splitter.ts";

/** A whole plan of 10,000 Services is some 10 MB. */
const MAXIMUM_LINE_BYTES = 256 << 20;

/** Calls `onLine` for every line that is complete. Errors of the socket end in its `close`. */
export function readLines(socket: Duplex, onLine: (line: string) => void): void {
  const splitter = makeLineSplitter(MAXIMUM_LINE_BYTES);
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    const split = splitter.push(bytes);
    if (split.kind === "too-long") return void socket.destroy();
    for (const line of split.lines) onLine(line);
  });
}

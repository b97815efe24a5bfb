// Takes whatever is sent to its port, and answers each connection at its end with how many bytes
// that were. Argument: the port.

import assert from "node:assert/strict";
import { createServer } from "node:net";

const BUFFER_BYTES = 1 << 20;
const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
const port = Number(process.argv[2]);
assert(port > 0, "its argument is a port");

createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => socket.destroy());
}).on("connection", () => {});

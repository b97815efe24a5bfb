// One connection on which bytes are sent as they are, and what came of it.

import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { FaultClientCalls, RawAnswer } from "./fault-client-protocol.ts";

const KEPT_BYTES = 256 * 1024;

/** Never rejects for what the other side does. */
export async function exchangeRaw(
  request: FaultClientCalls["exchange"]["request"],
): Promise<RawAnswer> {
  const { address, port, writes, forMs, until } = request;
  const startMs = performance.now();
  const socket = connect({ host: address, port, noDelay: true, allowHalfOpen: true });
  const over = Promise.withResolvers<RawAnswer["end"]>();
  let received = "";
  let receivedBytes = 0;
  socket.on("data", (bytes: Buffer) => {
    receivedBytes += bytes.length;
    if (received.length < KEPT_BYTES) received += bytes.toString("latin1");
    if (until !== undefined && received.includes(until)) over.resolve("open");
  });
  socket.once("end", () => over.resolve("fin"));
  socket.once("error", () => over.resolve("reset"));
  const timer = setTimeout(() => over.resolve("open"), forMs);
  for (const { bytes, afterMs = 0 } of writes) {
    if (afterMs > 0) await Promise.race([delay(afterMs), over.promise]);
    if (socket.writable) socket.write(Buffer.from(bytes, "latin1"));
  }
  const end = await over.promise;
  clearTimeout(timer);
  socket.destroy();
  return { received, receivedBytes, end, elapsedMs: performance.now() - startMs };
}

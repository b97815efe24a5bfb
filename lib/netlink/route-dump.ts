// A whole rtnetlink dump, asked for again while the kernel says that it changed under way.

import { errnoName, SystemError } from "../sys/ffi.ts";
import type { DumpProgress } from "./dump-reader.ts";
import { dumpHere, type DumpOrder } from "./dump.ts";
import { RouteError } from "./route-error.ts";

const NETLINK_ROUTE = 0;
const LIST_ATTEMPTS = 5;

/**
 * Reads one whole answer, part by part.
 * @param what is listed, for errors
 * @param encode makes the request of a sequence number
 * @param decode reads one part of the answer to it
 * @throws RouteError
 */
export async function dumpWhole<Chunk extends DumpProgress>(
  what: string,
  encode: (sequence: number) => Uint8Array,
  decode: (bytes: Uint8Array, sequence: number) => Chunk,
  options: Pick<DumpOrder, "isStrict"> = {},
): Promise<readonly Chunk[]> {
  const action = `list ${what}`;
  for (let sequence = 1; sequence <= LIST_ATTEMPTS; sequence++) {
    const read = (bytes: Uint8Array): Chunk => decode(bytes, sequence);
    const chunks = await dumpOnce(action, { request: encode(sequence), ...options }, read);
    if (chunks.every((chunk) => !chunk.interrupted)) return chunks;
  }
  throw new RouteError(action, "EINTR");
}

async function dumpOnce<Chunk extends DumpProgress>(
  action: string,
  order: Omit<DumpOrder, "protocol">,
  decode: (bytes: Uint8Array) => Chunk,
): Promise<readonly Chunk[]> {
  const dump = start(action, order);
  const chunks: Chunk[] = [];
  try {
    for (;;) {
      const part = await dump.next();
      if (part.kind === "failed") throw new RouteError(action, part.code);
      const chunk = decode(part.bytes);
      chunks.push(chunk);
      const errno = chunk.end?.errno;
      if (errno === 0) return chunks;
      if (errno !== undefined) throw new RouteError(action, errnoName(errno));
    }
  } finally {
    await dump.close();
  }
}

function start(action: string, order: Omit<DumpOrder, "protocol">): ReturnType<typeof dumpHere> {
  try {
    return dumpHere({ protocol: NETLINK_ROUTE, ...order });
  } catch (error) {
    throw new RouteError(action, error instanceof SystemError ? error.code : "EIO", error);
  }
}

// Program: stands in for a worker that takes tunnels and direct calls. Transparent listeners on
// both doors that say whom they saw and where; and it dials as workers do.

import { createInterface } from "node:readline";
import { answerCalls } from "../../playground/line-calls.ts";
import { DEFAULT_POLICY_PORTS } from "../../netpol-identity/plan/policy-table-parts.ts";
import { dialAsWorker, greet, listenAsWorker } from "./worker-socket.ts";

/** Calls that this program takes on standard input. */
export interface DoorCalls {
  readonly listen: { readonly request: object; readonly reply: null };
  /** Connects as a worker does, from a client's address. Replies with the first line that comes. */
  readonly dial: {
    readonly request: { readonly from: string; readonly to: string; readonly port: number };
    readonly reply: string;
  };
}

const DIAL_LIMIT_MS = 3_000;

if (import.meta.main) {
  answerCalls<DoorCalls>({
    async listen() {
      for (const host of ["127.0.0.1", "::1"]) {
        for (const door of ["tunnel", "direct"] as const) {
          const port = DEFAULT_POLICY_PORTS[door];
          await listenAsWorker(host, port, (socket) => greet(socket, { pod: door, node: "door" }));
        }
      }
      return null;
    },
    dial,
  });
}

async function dial({ from, to, port }: DoorCalls["dial"]["request"]): Promise<string> {
  const socket = dialAsWorker(from, to, port);
  socket.setTimeout(DIAL_LIMIT_MS, () => socket.destroy(new Error("no answer")));
  try {
    for await (const line of createInterface({ input: socket })) return line;
    return "";
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}

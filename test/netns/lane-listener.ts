// Program: stands in for a proxy worker. Transparent listeners on the lanes' two ports that say
// whom they saw and where, or relay to a backend from the client's own address.

import type { Socket } from "node:net";
import { answerCalls } from "../../playground/line-calls.ts";
import { DEFAULT_LANE } from "../../service-proxy/plan/lane-marks.ts";
import { dialAsWorker, greet, listenAsWorker } from "./worker-socket.ts";

/** Calls that this program takes on standard input. */
export interface ListenerCalls {
  readonly listen: { readonly request: object; readonly reply: null };
  /** What arrives at `address` is relayed from now on; nobody else is. */
  readonly relay: {
    readonly request: { readonly address: string; readonly to: string; readonly port: number };
    readonly reply: null;
  };
}

if (import.meta.main) {
  const relays = new Map<string, { readonly to: string; readonly port: number }>();
  answerCalls<ListenerCalls>({
    async listen() {
      for (const host of ["127.0.0.1", "::1"]) {
        for (const side of ["inside", "outside"] as const) {
          const port = side === "inside" ? DEFAULT_LANE.portInside : DEFAULT_LANE.portOutside;
          await listenAsWorker(host, port, (socket) => {
            const found = relays.get(socket.localAddress ?? "");
            if (found === undefined) greet(socket, { pod: "lane", node: side });
            else relay(socket, found.to, found.port);
          });
        }
      }
      return null;
    },
    relay({ address, to, port }) {
      relays.set(address, { to, port });
      return null;
    },
  });
}

function relay(socket: Socket, to: string, port: number): void {
  const upstream = dialAsWorker(socket.remoteAddress ?? "", to, port);
  upstream.on("error", () => socket.resetAndDestroy());
  socket.on("close", () => upstream.destroy());
  socket.pipe(upstream).pipe(socket);
}

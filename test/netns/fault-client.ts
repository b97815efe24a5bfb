// Program: a client in a namespace that does what its parent says (`FaultClientCalls`).

import { answerCalls } from "../../playground/line-calls.ts";
import type { FaultClientCalls } from "./fault-client-protocol.ts";
import { HeldConnections } from "./fault-hold.ts";
import { exchangeRaw } from "./fault-exchange.ts";
import { runHonest } from "./fault-honest.ts";
import { runLong } from "./fault-long.ts";

const holds: HeldConnections[] = [];

answerCalls<FaultClientCalls>({
  exchange: exchangeRaw,
  async hold(request) {
    const held = new HeldConnections(request);
    const id = holds.push(held) - 1;
    await held.opened();
    return { id };
  },
  held: ({ id }) => found(id).report(),
  release({ id }) {
    found(id).release();
    return null;
  },
  long: runLong,
  honest: runHonest,
});

function found(id: number): HeldConnections {
  const held = holds[id];
  if (held === undefined) throw new Error(`Cannot find hold ${id}`);
  return held;
}

// Program: probes from the network namespace it was started in, as its parent says on stdin
// (`ProbeCalls`, one JSON object a line). One process serves hundreds of probes.

import type { Socket } from "node:net";

import { systemClock } from "../lib/clock/system-clock.ts";
import { attempt, dial, nextLine } from "./attempt.ts";
import { answerCalls } from "./line-calls.ts";
import { runLoad } from "./load.ts";
import type { ProbeCalls, ProbeRequest, ProbeResult } from "./probe-protocol.ts";

const connections = new Map<number, Socket>();
const loads = new Map<number, AbortController>();
let lastConnection = 0;

answerCalls<ProbeCalls>({
  probe: ({ probe, count, parallel }) => attemptMany(probe, count, parallel),
  async open(probe) {
    const socket = dial(probe);
    const result = await nextLine(socket, probe.timeoutMs);
    if (result.kind !== "reply") {
      socket.destroy();
      return result;
    }
    connections.set(++lastConnection, socket);
    return { ...result, connection: lastConnection };
  },
  async say({ connection, text, timeoutMs }) {
    const socket = connections.get(connection);
    if (socket === undefined) return { kind: "closed" };
    const answer = nextLine(socket, timeoutMs);
    socket.write(`${text}\n`);
    return answer;
  },
  close({ connection }) {
    connections.get(connection)?.destroy();
    connections.delete(connection);
    return null;
  },
  async load({ load, options }) {
    const controller = new AbortController();
    loads.set(load, controller);
    const report = await runLoad(options, attempt, systemClock, controller.signal);
    loads.delete(load);
    return report;
  },
  "stop-load"({ load }) {
    loads.get(load)?.abort();
    return null;
  },
});

async function attemptMany(
  probe: ProbeRequest,
  count: number,
  parallel: number,
): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  const work = async (): Promise<void> => {
    while (count > 0) {
      count--;
      results.push(await attempt(probe));
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, parallel) }, work));
  return results;
}

// Asks tunnel-connections-program.ts for many connections, which stay until they are let go.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Target } from "./rig.ts";
import { benchProgram, type TunnelStage } from "./tunnel-stage.ts";

export interface ConnectionsPlan {
  readonly sources: readonly string[];
  readonly targets: readonly Target[];
  readonly count: number;
  readonly atOnce: number;
}

/** All were opened and answered. */
export interface Connections {
  readonly seconds: number;
  /** From the wish to connect to the first byte of the answer. */
  readonly p50Us: number;
  readonly p99Us: number;
}

/** @param whileOpen what is done while all are open */
export async function openConnections(
  stage: TunnelStage,
  plan: ConnectionsPlan,
  whileOpen: () => void,
): Promise<Connections> {
  const program = benchProgram("tunnel-connections-program.ts");
  const child = stage.spawnClient([...program, JSON.stringify(plan)]);
  const { stdin, stdout } = child;
  assert(stdin !== null && stdout !== null);
  const ended = once(child, "exit");
  let answer: Connections | undefined;
  for await (const line of createInterface({ input: stdout })) {
    answer = JSON.parse(line) as Connections;
    whileOpen();
    stdin.end();
  }
  await ended;
  assert(answer !== undefined, "not all connections were opened");
  return answer;
}

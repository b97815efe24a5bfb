// Program: calls Services from the network namespace it was started in, again and again, and says
// when they first answered, by the machine's clock. Each try is a TCP connection of its own.

import { setTimeout as delay } from "node:timers/promises";
import { attempt } from "../playground/attempt.ts";
import { answerCalls } from "../playground/line-calls.ts";
import type { ProbeResult } from "../playground/probe-protocol.ts";
import type { AnswerCalls } from "./answer-calls.ts";
import { machineMs } from "./machine-clock.ts";
import type { Target } from "./rig.ts";

/** A new try starts this often, whatever becomes of those before: their SYNs may be lost. */
const FIRST_EVERY_MS = 5;
const FIRST_TIMEOUT_MS = 250;
/** Where somebody answers already, one try follows the other after this pause. */
const FROM_PAUSE_MS = 3;
const FROM_TIMEOUT_MS = 100;

answerCalls<AnswerCalls>({
  async all({ targets, limitMs }) {
    const deadlineMs = machineMs() + limitMs;
    let atMs = 0;
    for (const target of targets) atMs = await firstAnswer(target, deadlineMs);
    return { atMs };
  },
  async from({ target, backend, limitMs }) {
    const deadlineMs = machineMs() + limitMs;
    for (;;) {
      const result = await attempt(request(target, FROM_TIMEOUT_MS));
      const atMs = machineMs();
      if (isFrom(result, backend)) return { atMs };
      if (atMs > deadlineMs) throw silence(target, result);
      await delay(FROM_PAUSE_MS);
    }
  },
});

function firstAnswer(target: Target, deadlineMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const judge = (result: ProbeResult): void => {
      const atMs = machineMs();
      const answered = result.kind === "reply";
      if (!answered && atMs < deadlineMs) return;
      clearInterval(timer);
      if (answered) resolve(atMs);
      else reject(silence(target, result));
    };
    const ask = (): void => void attempt(request(target, FIRST_TIMEOUT_MS)).then(judge);
    const timer = setInterval(ask, FIRST_EVERY_MS);
    ask();
  });
}

function request({ address, port }: Target, timeoutMs: number): Parameters<typeof attempt>[0] {
  return { protocol: "tcp", address, port, timeoutMs };
}

function isFrom(result: ProbeResult, backend: string): boolean {
  return result.kind === "reply" && result.echo?.local.startsWith(`${backend}:`) === true;
}

function silence({ address, port }: Target, result: ProbeResult): Error {
  return new Error(`Cannot reach ${address}:${port}: ${JSON.stringify(result)}`);
}

// What a caller may expect of a Service, as assertions that name who answered instead.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { countAnswers, type Probe } from "../../playground/probe.ts";
import type { ProbeReply, ProbeRequest, ProbeResult } from "../../playground/probe-protocol.ts";

const POLL_MS = 50;
/** The bound after every change and every fault. */
const SETTLE_LIMIT_MS = 30_000;
/** So many calls miss one of four backends in one run of a million. */
const CALLS = 48;

/** Repeats a check until it throws nothing. @throws what it threw last when `limitMs` pass */
export async function eventually<T>(
  check: () => Promise<T>,
  limitMs = SETTLE_LIMIT_MS,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(POLL_MS);
    }
  }
}

/** Waits until these pods, all of them and nobody else, answer. */
export async function answeredBy(
  probe: Probe,
  target: ProbeRequest,
  pods: readonly string[],
): Promise<readonly ProbeReply[]> {
  return eventually(async () => {
    const results = await probe.tryMany({ timeoutMs: 500, ...target }, CALLS, 8);
    assert.deepEqual(Object.keys(countAnswers(results)), pods.toSorted(), labelOf(target));
    return results.filter((result) => result.kind === "reply");
  });
}

/** Waits until a try ends this way. */
export async function endsWith(
  probe: Probe,
  target: ProbeRequest,
  kind: ProbeResult["kind"],
  limitMs = SETTLE_LIMIT_MS,
): Promise<void> {
  await eventually(async () => {
    const result = await probe.try({ timeoutMs: 300, ...target });
    assert.equal(result.kind, kind, `${labelOf(target)} ended with ${JSON.stringify(result)}`);
  }, limitMs);
}

/** Whom the servers saw as the caller, without doubles. */
export function callersSeen(replies: readonly ProbeReply[]): readonly string[] {
  return [...new Set(replies.flatMap(({ echo }) => echo?.client ?? []))].toSorted();
}

export function http(address: string, port = 80): ProbeRequest {
  return { protocol: "http", address, port };
}

export function tcp(address: string, port = 9090): ProbeRequest {
  return { protocol: "tcp", address, port };
}

export function udp(address: string, port = 9090): ProbeRequest {
  return { protocol: "udp", address, port };
}

function labelOf({ protocol, address, port }: ProbeRequest): string {
  return `${protocol} ${address} port ${port}`;
}

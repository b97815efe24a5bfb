// What the node answers on port 10256: /healthz for load balancers, /livez for the kubelet, with
// kube-proxy's JSON; and /policyz for the controller.

import type { HealthVerdict } from "../model/proxy-health.ts";
import type { IdentityPart } from "../model/identity-part.ts";
import { type HttpAnswer, type HttpHandler, notFound } from "./http-listener.ts";

export interface HealthState {
  readonly verdict: HealthVerdict;
  readonly nodeEligible: boolean;
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number;
}

export interface HealthHandlerOptions {
  /** The state at this moment. */
  readonly state: () => HealthState;
  /** Counts answers, for kubeproxy_proxy_healthz_total and …_livez_total. */
  readonly onAnswer?: (path: "/healthz" | "/livez", status: number) => void;
  /** Missing where no policies are kept. */
  readonly enforcement?: IdentityPart["enforcement"];
}

const JSON_HEADERS = { "content-type": "application/json", "x-content-type-options": "nosniff" };

/** Go's zero time: what kube-proxy prints when there was no sync. */
const NEVER = "0001-01-01T00:00:00Z";

/**
 * Answers /healthz and /livez, /policyz with a report and /policyz/revision with a short name for
 * what it says; every other path is 404.
 */
export function makeHealthHandler(options: HealthHandlerOptions): HttpHandler {
  const { state, onAnswer, enforcement } = options;
  return (path) => {
    if (enforcement !== undefined && path === "/policyz") {
      return { status: 200, headers: JSON_HEADERS, body: enforcement.report() };
    }
    if (enforcement !== undefined && path === "/policyz/revision") {
      return { status: 200, body: enforcement.revision() };
    }
    if (path !== "/healthz" && path !== "/livez") return notFound(path);
    const answer = path === "/healthz" ? answerHealthz(state()) : answerLivez(state());
    onAnswer?.(path, answer.status);
    return answer;
  };
}

/** 200 when every family is healthy and load balancers may use the node, else 503. */
export function answerHealthz(state: HealthState): HttpAnswer {
  const ok = state.verdict.healthy && state.nodeEligible;
  return answerWith(ok, { ...bodyOf(state, ok), nodeEligible: state.nodeEligible });
}

/**
 * 200 unless a change waits too long, whatever becomes of the node, and before the first sync too:
 * an agent that cannot reach the API server is not mended by a restart.
 */
export function answerLivez(state: HealthState): HttpAnswer {
  return answerWith(state.verdict.alive, bodyOf(state, state.verdict.healthy));
}

function bodyOf({ verdict, nowMs }: HealthState, ok: boolean): Record<string, unknown> {
  const status: Record<string, unknown> = {};
  for (const [family, { healthy, lastUpdatedMs }] of verdict.families) {
    status[family] = { lastUpdated: formatTime(lastUpdatedMs), healthy };
  }
  return {
    // kube-proxy's quirk, kept: a good answer calls itself updated now, however long nothing
    // changed.
    lastUpdated: formatTime(ok ? nowMs : verdict.lastUpdatedMs),
    currentTime: formatTime(nowMs),
    healthy: verdict.healthy,
    status,
  };
}

function answerWith(ok: boolean, body: Record<string, unknown>): HttpAnswer {
  return {
    status: ok ? 200 : 503,
    headers: JSON_HEADERS,
    body: JSON.stringify(body),
  };
}

function formatTime(timeMs: number | undefined): string {
  return timeMs === undefined ? NEVER : new Date(timeMs).toISOString();
}

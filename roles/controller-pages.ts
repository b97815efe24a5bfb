// What the controller answers on port 15014.

import { type HttpHandler, notFound } from "../service-proxy/apply/http-listener.ts";
import type { MetricsPage } from "../service-proxy/apply/metrics-server.ts";

export interface ControllerPagesOptions {
  readonly metrics: MetricsPage;
  /** Whether everything has been read once; a follower is as ready as the leader. */
  readonly isReady: () => boolean;
}

/** Answers /metrics, /healthz (it runs) and /readyz; the rest is 404. */
export function makeControllerPages({ metrics, isReady }: ControllerPagesOptions): HttpHandler {
  return async (path) => {
    switch (path) {
      case "/metrics":
        return {
          status: 200,
          headers: { "content-type": metrics.contentType },
          body: await metrics.metrics(),
        };
      case "/healthz":
        return { status: 200, body: "ok" };
      case "/readyz":
        return isReady()
          ? { status: 200, body: "ok" }
          : { status: 503, body: "the first lists are not complete" };
      default:
        return notFound(path);
    }
  };
}

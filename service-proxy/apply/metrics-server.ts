// What the node answers on 127.0.0.1:10249: series for Prometheus, and the pages that kube-proxy's
// tools and tests ask for.

import { type HttpAnswer, type HttpHandler, notFound } from "./http-listener.ts";

/** Something Prometheus can read: a registry of series. */
export interface MetricsPage {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface MetricsHandlerOptions {
  readonly metrics: MetricsPage;
  /** Results of this server's own health checks. */
  readonly slis: MetricsPage;
  /** Counts a health check that passed, for `slis`. */
  readonly onPing?: () => void;
  /** The KubeProxyConfiguration in force, ready for JSON. */
  readonly configuration: () => unknown;
}

const NOSNIFF = { "x-content-type-options": "nosniff" };
const JSON_HEADERS = { "content-type": "application/json", ...NOSNIFF };
/** kube-proxy's key for its configuration on /configz. */
const CONFIGZ_KEY = "kubeproxy.config.k8s.io";

/** Answers /metrics, /metrics/slis, /proxyMode, /configz and /healthz; the rest is 404. */
export function makeMetricsHandler(options: MetricsHandlerOptions): HttpHandler {
  return (path) => {
    switch (path) {
      case "/metrics":
        return answerPage(options.metrics);
      case "/metrics/slis":
        return answerPage(options.slis);
      case "/proxyMode":
        return { status: 200, headers: NOSNIFF, body: "nftables" };
      case "/configz":
        return answerJson({ [CONFIGZ_KEY]: options.configuration() });
      case "/healthz":
      case "/healthz/ping":
        options.onPing?.();
        return { status: 200, headers: NOSNIFF, body: "ok" };
      default:
        return notFound(path);
    }
  };
}

async function answerPage(page: MetricsPage): Promise<HttpAnswer> {
  const body = await page.metrics();
  return { status: 200, headers: { "content-type": page.contentType }, body };
}

function answerJson(value: unknown): HttpAnswer {
  return { status: 200, headers: JSON_HEADERS, body: JSON.stringify(value) };
}

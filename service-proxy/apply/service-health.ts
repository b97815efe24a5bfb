// The health check ports of LoadBalancer Services with externalTrafficPolicy Local: an outside
// balancer asks here whether this node has an endpoint of the Service.

import type { Address } from "../../lib/ip/address.ts";
import { type HttpAnswer, type HttpListener, ListenError, listenHttp } from "./http-listener.ts";

/** One Service's answer. */
export interface ServiceHealthCheck {
  readonly namespace: string;
  readonly name: string;
  /** healthCheckNodePort, 1–65535; one Service per port. */
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node; terminating ones do not count. */
  readonly localEndpoints: number;
}

/** A port that could not be opened; the next `apply` tries again. */
export interface ServiceHealthProblem {
  readonly namespace: string;
  readonly name: string;
  readonly message: string;
}

interface OpenPort {
  readonly port: number;
  readonly listener: HttpListener;
}

/**
 * Owns the listeners. Call `apply` with the whole desired state after every sync; calls must not
 * overlap. Unlike kube-proxy, an address that cannot be bound does not close the others.
 */
export class ServiceHealthServers {
  readonly #isProxyHealthy: () => boolean;
  /** By address and port. */
  readonly #open = new Map<string, OpenPort>();
  #checks: ReadonlyMap<number, ServiceHealthCheck> = new Map();

  /** @param isProxyHealthy without regard to the Node: its removal is no news for a Service */
  constructor(isProxyHealthy: () => boolean) {
    this.#isProxyHealthy = isProxyHealthy;
  }

  /** How many sockets listen, for innermesh_service_health_listeners. */
  get listenerCount(): number {
    return this.#open.size;
  }

  /**
   * Closes what is not desired, opens what is missing, leaves the rest alone. Never throws.
   * @param addresses to listen on: `0.0.0.0` and `::`, or the node's addresses
   */
  async apply(
    checks: readonly ServiceHealthCheck[],
    addresses: readonly Address[],
  ): Promise<readonly ServiceHealthProblem[]> {
    const problems: ServiceHealthProblem[] = [];
    const byPort = new Map<number, ServiceHealthCheck>();
    for (const check of checks) {
      const holder = byPort.get(check.port);
      if (holder === undefined) byPort.set(check.port, check);
      else problems.push(portTaken(check, holder));
    }
    this.#checks = byPort;
    const desired = new Map<string, { readonly host: Address; readonly port: number }>();
    for (const port of byPort.keys()) {
      for (const host of addresses) desired.set(`${host} ${port}`, { host, port });
    }
    await this.#closeExcept(desired);
    for (const [key, { host, port }] of desired) {
      const check = byPort.get(port);
      if (this.#open.has(key) || check === undefined) continue;
      const problem = await this.#openPort(key, host, check);
      if (problem !== undefined) problems.push(problem);
    }
    return problems;
  }

  /** Frees every port. */
  async close(): Promise<void> {
    this.#checks = new Map();
    await this.#closeExcept(new Map());
  }

  async #closeExcept(desired: ReadonlyMap<string, unknown>): Promise<void> {
    const unwanted = [...this.#open].filter(([key]) => !desired.has(key));
    for (const [key] of unwanted) this.#open.delete(key);
    await Promise.all(unwanted.map(([, { listener }]) => listener.close()));
  }

  async #openPort(
    key: string,
    host: Address,
    check: ServiceHealthCheck,
  ): Promise<ServiceHealthProblem | undefined> {
    const { port, namespace, name } = check;
    try {
      const answer = (): HttpAnswer => this.#answer(port);
      const listener = await listenHttp({ host, port }, answer, { oneFamily: true });
      this.#open.set(key, { port, listener });
      return undefined;
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      const message = `Cannot start the health check on port ${port}: ${error.message}`;
      return { namespace, name, message };
    }
  }

  #answer(port: number): HttpAnswer {
    const check = this.#checks.get(port);
    if (check === undefined) return { status: 503, body: "the Service is gone\n" };
    const healthy = this.#isProxyHealthy();
    return answerServiceHealth(check, healthy);
  }
}

/** 200 when this node has a ready endpoint and its proxy works, else 503; on any path. */
export function answerServiceHealth(check: ServiceHealthCheck, healthy: boolean): HttpAnswer {
  const { namespace, name, localEndpoints } = check;
  const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy };
  return {
    status: localEndpoints > 0 && healthy ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(localEndpoints),
    },
    body: JSON.stringify(body),
  };
}

function portTaken(check: ServiceHealthCheck, holder: ServiceHealthCheck): ServiceHealthProblem {
  const { namespace, name, port } = check;
  const owner = `${holder.namespace}/${holder.name}`;
  return { namespace, name, message: `Health check port ${port} belongs to Service ${owner}` };
}

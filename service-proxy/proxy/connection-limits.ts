// How many connections a Service port has open on this worker, in all and per client.

import type { ConnectionLimits } from "../model/proxy-plan.ts";

export class ConnectionCounter {
  #open = 0;
  readonly #byClient = new Map<string, number>();

  get open(): number {
    return this.#open;
  }

  /** @returns false at a limit; true must be followed by one `release` of the same client */
  tryTake(client: string, limits: ConnectionLimits): boolean {
    const ofClient = this.#byClient.get(client) ?? 0;
    if (this.#open >= limits.maxConnections || ofClient >= limits.maxConnectionsPerClient) {
      return false;
    }
    this.#open++;
    this.#byClient.set(client, ofClient + 1);
    return true;
  }

  release(client: string): void {
    const ofClient = this.#byClient.get(client) ?? 0;
    if (ofClient === 0) return;
    this.#open--;
    if (ofClient === 1) this.#byClient.delete(client);
    else this.#byClient.set(client, ofClient - 1);
  }
}

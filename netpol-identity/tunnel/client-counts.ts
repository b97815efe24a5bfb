// How many connections each client has of one kind: nobody gets all that a worker has.

import type { Address } from "../../lib/ip/address.ts";

export class ClientCounts {
  readonly #counts = new Map<Address, number>();

  of(client: Address): number {
    return this.#counts.get(client) ?? 0;
  }

  add(client: Address): void {
    this.#counts.set(client, this.of(client) + 1);
  }

  remove(client: Address): void {
    const left = this.of(client) - 1;
    if (left > 0) this.#counts.set(client, left);
    else this.#counts.delete(client);
  }
}

// Which endpoints one client may reach, as the dialler has it, and what forbade one.

import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import type { FrontendSide, ProxyEndpoint } from "../model/proxy-plan.ts";
import { type Client, dialOptions, sourceAddress } from "./client.ts";

/** Who asks, and through which side of a frontend. */
export interface GuardedClient {
  readonly client: Client;
  readonly side: FrontendSide;
}

export class ClientGuard {
  /** What forbade an endpoint last; undefined while nothing did. */
  rule: string | undefined;
  readonly #dialer: Dialer;
  readonly #guarded: GuardedClient;

  constructor(dialer: Dialer, guarded: GuardedClient) {
    this.#dialer = dialer;
    this.#guarded = guarded;
  }

  readonly permits = (endpoint: ProxyEndpoint): boolean => {
    const { client, side } = this.#guarded;
    const { address, port } = endpoint;
    const from = sourceAddress(client, side, endpoint);
    const rule = this.#dialer.refusal(dialOptions(client, { to: { address, port }, from }));
    if (rule === undefined) return true;
    this.rule = rule;
    return false;
  };
}

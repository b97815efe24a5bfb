// Which endpoints one client may reach, as the dialler has it, and what forbade one.

import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import type { ProxyEndpoint } from "../model/proxy-plan.ts";
import type { Client } from "./client.ts";

export class ClientGuard {
  /** What forbade an endpoint last; undefined while nothing did. */
  rule: string | undefined;
  readonly #dialer: Dialer;
  readonly #client: Pick<Client, "address" | "kind">;

  constructor(dialer: Dialer, client: Pick<Client, "address" | "kind">) {
    this.#dialer = dialer;
    this.#client = client;
  }

  readonly permits = ({ address, port }: ProxyEndpoint): boolean => {
    const { address: source, kind } = this.#client;
    const pod = kind === "pod" ? { client: source } : {};
    const rule = this.#dialer.refusal({ to: { address, port }, source, ...pod });
    if (rule === undefined) return true;
    this.rule = rule;
    return false;
  };
}

// Changes this network namespace's routing rules, routes and links. Each call waits for the
// kernel, which takes microseconds.

import { errnoName, SystemError } from "../sys/ffi.ts";
import {
  encodeAddLinkAddress,
  encodeAddVethPair,
  encodeDeleteLink,
  encodeLinkUp,
  type LinkAddress,
} from "./link-change.ts";
import { RouteError } from "./route-error.ts";
import {
  encodeLocalDefault,
  encodeRuleChange,
  type LocalDefaultRoute,
  type RoutingRule,
} from "./route-change.ts";
import { NetlinkSocket } from "./socket.ts";

const NETLINK_ROUTE = 0;
/** What the kernel says when nothing had to be done; the last two where IPv6 is switched off. */
const ALREADY_SO = {
  add: new Set(["EEXIST"]),
  delete: new Set(["ENOENT", "ESRCH", "ENODEV", "EAFNOSUPPORT", "EOPNOTSUPP"]),
} as const;

/** An open rtnetlink socket. Every change tells whether anything had to be changed. */
export class RouteSocket {
  readonly #socket: NetlinkSocket;
  #sequence = 0;

  /** @throws RouteError */
  constructor() {
    this.#socket = attempt("open rtnetlink", () => NetlinkSocket.open(NETLINK_ROUTE));
  }

  /** @throws RouteError */
  changeRule(operation: "add" | "delete", rule: RoutingRule): boolean {
    const action = `${operation} routing rule ${rule.preference} of ${rule.family}`;
    return this.#change(action, operation, encodeRuleChange(operation, rule, ++this.#sequence));
  }

  /** @throws RouteError */
  changeLocalDefault(operation: "add" | "delete", route: LocalDefaultRoute): boolean {
    const action = `${operation} the local route of ${route.family} table ${route.table}`;
    return this.#change(action, operation, encodeLocalDefault(operation, route, ++this.#sequence));
  }

  /** Both ends are up. @throws RouteError */
  addVethPair(name: string, peer: string): boolean {
    const request = encodeAddVethPair(name, peer, ++this.#sequence);
    const isNew = this.#change(`add link ${name}`, "add", request);
    for (const end of [name, peer]) {
      this.#change(`set link ${end} up`, "add", encodeLinkUp(end, ++this.#sequence));
    }
    return isNew;
  }

  /** With its far end. @throws RouteError */
  deleteLink(name: string): boolean {
    const request = encodeDeleteLink(name, ++this.#sequence);
    return this.#change(`delete link ${name}`, "delete", request);
  }

  /** An IPv4 address of its own. @throws RouteError */
  addLinkAddress(index: number, address: LinkAddress): boolean {
    const request = encodeAddLinkAddress(index, address, ++this.#sequence);
    return this.#change(`add address ${address.address} to link ${index}`, "add", request);
  }

  close(): void {
    this.#socket.close();
  }

  #change(action: string, operation: "add" | "delete", request: Uint8Array): boolean {
    const messages = attempt(action, () => this.#socket.exchange(request));
    const answer = messages.find(({ sequence }) => sequence === this.#sequence);
    if (answer?.kind !== "error") throw new RouteError(action, "EIO");
    if (answer.errno === 0) return true;
    const code = errnoName(answer.errno);
    if (ALREADY_SO[operation].has(code)) return false;
    throw new RouteError(action, code);
  }
}

function attempt<T>(action: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw new RouteError(action, cause instanceof SystemError ? cause.code : "EIO", cause);
  }
}

// Whether one rule is about one flow: yes, no, or what has to tell. What is costly to learn of a
// flow is learnt at most once, and only if some rule asks.

import { addressBytes } from "../../lib/ip/address.ts";
import type { HttpRequestMatch } from "../../lib/kube/api/request-match.ts";
import type { Direction } from "../model/policy.ts";
import { type Block, blockContains, blocksOf } from "./address-block.ts";
import { membersFor } from "./identity-group.ts";
import type { GroupId, Groups, SetPeers, SetRule } from "./policy-set.ts";
import { matchesRequest } from "./request-match.ts";
import type { Flow } from "./verdict.ts";

/** `identity` and `request`: it depends on one that is not known yet. */
export type Match = "yes" | "no" | "identity" | "request";

/** True where the protocol's port is in one of the ranges; ICMP is only in "any". */
export function coversPort(
  ports: SetRule["ports"],
  protocol: Flow["protocol"],
  port: number,
): boolean {
  if (ports === "any") return true;
  for (const range of ports) {
    if (range.protocol === protocol && range.first <= port && port <= range.last) return true;
  }
  return false;
}

export class RuleMatcher {
  readonly #isIngress: boolean;
  readonly #flow: Flow;
  readonly #groups: Groups;
  /** Only TCP is carried by tunnels: nothing else will ever prove who it is. */
  readonly #identity: string | null;
  readonly #isUnproven: boolean;
  #bytes: Uint8Array | undefined;
  #members: readonly string[] | undefined;

  constructor(direction: Direction, flow: Flow, groups: Groups) {
    this.#isIngress = direction === "ingress";
    this.#flow = flow;
    this.#groups = groups;
    this.#isUnproven = flow.identity === "unproven" && flow.protocol === "TCP";
    this.#identity = flow.identity === "unproven" ? null : flow.identity;
  }

  /**
   * Where a rule denies what comes in, doubt is a match: a client that proves nothing may be the
   * one that is meant. Elsewhere doubt is none. A call that goes out has the identity of the pod
   * that has the address, so there null is no doubt.
   */
  match(rule: SetRule): Match {
    const { protocol, port } = this.#flow;
    if (!coversPort(rule.ports, protocol, port)) return "no";
    const isDoubted = this.#isIngress && rule.action === "deny";
    const peers = rule.peers === "any" ? "yes" : this.#matchPeers(rule.peers, isDoubted);
    if (peers === "no" || rule.requests === undefined) return peers;
    const requests = this.#matchRequests(rule.requests);
    return requests === "no" || peers === "yes" ? requests : peers;
  }

  #matchPeers({ groups, blocks, identities }: SetPeers, isDoubted: boolean): Match {
    const { address } = this.#flow;
    for (const group of groups) {
      if (this.#groups.addresses(group)?.has(address)) return "yes";
    }
    if (blocks.length > 0 && this.#isInBlock(blocksOf(blocks))) return "yes";
    if (identities.length === 0) return "no";
    if (this.#identity !== null) return this.#isAmong(identities, this.#identity) ? "yes" : "no";
    if (isDoubted) return this.#isUnproven ? "identity" : "yes";
    return this.#isUnproven && this.#hasAnybody(identities) ? "identity" : "no";
  }

  #isInBlock(blocks: readonly Block[]): boolean {
    this.#bytes ??= this.#flow.address === "" ? NO_BYTES : addressBytes(this.#flow.address);
    for (const block of blocks) if (blockContains(block, this.#bytes)) return true;
    return false;
  }

  #hasAnybody(identities: readonly GroupId[]): boolean {
    return identities.some((group) => (this.#groups.identities(group)?.size ?? 0) > 0);
  }

  #isAmong(identities: readonly GroupId[], identity: string): boolean {
    for (const id of identities) {
      const group = this.#groups.identities(id);
      if (group === undefined) continue;
      // A star of theirs would be taken for an open part.
      if (group.has(identity) && !identity.includes("*")) return true;
      this.#members ??= membersFor(identity);
      for (const member of this.#members) if (group.has(member)) return true;
    }
    return false;
  }

  #matchRequests(requests: readonly HttpRequestMatch[]): Match {
    const { protocol, request } = this.#flow;
    if (protocol !== "TCP") return "no";
    if (request === undefined) return "request";
    for (const one of requests) if (matchesRequest(one, request)) return "yes";
    return "no";
  }
}

const NO_BYTES = new Uint8Array();

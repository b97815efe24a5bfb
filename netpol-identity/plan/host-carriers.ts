// Addresses that prove an identity, with those of the node itself: its processes prove that of its
// agent where they call enrolled pods by a worker.

import { membersFor } from "../evaluate/identity-group.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";

export class HostCarriers {
  /** As others see this node. */
  readonly addresses: readonly string[];
  readonly identity: SpiffeUri | undefined;
  readonly #members: readonly string[];
  readonly #joined = new WeakMap<ReadonlySet<string>, ReadonlySet<string>>();

  /** @param identity undefined: its processes prove nothing */
  constructor(identity: SpiffeUri | undefined, addresses: readonly string[]) {
    this.identity = identity;
    this.addresses = addresses;
    this.#members = identity === undefined ? [] : membersFor(identity);
  }

  /**
   * @param pods addresses of those in a group, the same object while they are equal
   * @param group of identities
   * @returns the same object for the same `pods`, while the node is in the group or is not
   */
  join(pods: ReadonlySet<string>, group: ReadonlySet<string> | undefined): ReadonlySet<string> {
    if (group === undefined || !this.#members.some((member) => group.has(member))) return pods;
    const known = this.#joined.get(pods) ?? new Set([...pods, ...this.addresses]);
    this.#joined.set(pods, known);
    return known;
  }
}

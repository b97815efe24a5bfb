// One node's policies as its agent keeps them, from the store to the kernel of the network
// namespace that this program runs in: the product's own loop, waited for.

import assert from "node:assert/strict";
import { systemClock } from "../lib/clock/system-clock.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import { PolicyApply } from "../netpol-identity/apply/policy-apply.ts";
import { NO_TRUST } from "../netpol-identity/model/trust.ts";
import { DEFAULT_POLICY_PORTS } from "../netpol-identity/plan/policy-table-parts.ts";
import { NODE } from "./policy-world.ts";

const TRUST_DOMAIN = "cluster.local";

export interface PolicyNodeParts {
  readonly store: KubeStore;
  readonly kernel: NftKernel;
  readonly log: Logger;
}

export class PolicyNode implements AsyncDisposable {
  readonly policies: NodePolicies;
  readonly apply: PolicyApply;
  readonly #identity: NodeIdentity;
  readonly #end = new AbortController();
  #waiting = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #isUp = false;

  constructor({ store, kernel, log }: PolicyNodeParts) {
    const onProblem = (problem: object): void => assert.fail(JSON.stringify(problem));
    const place = { nodeName: NODE, trustDomain: TRUST_DOMAIN };
    this.policies = new NodePolicies({ ...place, store, onProblem });
    this.apply = new PolicyApply(kernel, log);
    const { tunnel: tunnelPort, direct: directPort } = DEFAULT_POLICY_PORTS;
    this.#identity = new NodeIdentity({
      settings: { ...place, meshDefault: "none", tunnelPort, directPort },
      store,
      policies: this.policies,
      onEnforced: () => this.#waiting.resolve(),
      onApplied: () => {
        if (!this.#isUp) this.#waiting.resolve();
      },
      apply: this.apply,
      authority: { trust: () => NO_TRUST, onChange: () => () => {} },
      sign: () => Promise.reject(new Error("Cannot sign: identities are off")),
      held: Promise.resolve(),
      hasPredecessor: () => false,
      clock: systemClock,
      random: Math.random,
      log,
      onKeyEvent: () => {},
      onProblem,
    });
  }

  /** Resolves when the kernel holds all that the store says. */
  async start(): Promise<void> {
    this.#running = this.#identity.run(this.#end.signal);
    await this.#waiting.promise;
    this.#isUp = true;
  }

  /** Resolves when the kernel holds what `change` does to the store. */
  async enforce(change: () => void): Promise<void> {
    this.#waiting = Promise.withResolvers();
    change();
    await this.#waiting.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
  }
}

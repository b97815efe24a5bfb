// Keeps the policy tables as pods, peers and the node's network ask for: one loop that reads,
// binds, plans and applies, woken by whatever changes.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { ensureDetour, removeDetour } from "../../lib/netlink/detour.ts";
import { DETOUR_LINKS } from "../plan/entry-lift.ts";
import {
  type Binding,
  type BindingMemory,
  bindPods,
  type UnsupportedAddresses,
} from "../plan/guard-binding.ts";
import { NetworkPlanner } from "../plan/network-tables.ts";
import type { NetworkWorld } from "../plan/network-world.ts";
import { shutPods } from "../plan/shut-pods.ts";
import { planPolicyTables } from "../plan/policy-table.ts";
import type {
  PolicyBridge,
  PolicyPeer,
  PolicyPod,
  PolicyPorts,
  PolicyWorld,
} from "../plan/policy-table-parts.ts";
import { type NodeNetwork, readNodeNetwork, watchNodeNetwork } from "./pod-interface.ts";
import type { PolicyApply } from "./policy-apply.ts";

/** What the tables are to hold, apart from what the node's network says itself. */
export interface PolicyInput {
  /** Every pod of this node with addresses of its own, enrolled or not. */
  readonly pods: readonly PolicyPod[];
  readonly peers: readonly PolicyPeer[];
  /** @default nobody is isolated */
  readonly network?: NetworkWorld;
}

export interface PolicyKeeperParts {
  readonly apply: PolicyApply;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ports: PolicyPorts;
  /** All that there is: a list that is not whole yet would open what an earlier run closed. */
  readonly input: () => PolicyInput;
  /** What holds now: who was bound to which interface, and who could not be. */
  readonly onApplied: (state: PolicyState) => void;
  /** What stands is not what is asked for; it is tried again. */
  readonly onFailed?: (error: unknown) => void;
}

export interface PolicyState {
  readonly bindings: readonly Binding[];
  /** A sentence each. */
  readonly problems: readonly string[];
  readonly unsupported: UnsupportedAddresses;
}

export interface PolicyKeeper {
  /** The input may have changed. Resolves when what it is now holds, or the keeper has ended. */
  refresh(): Promise<void>;
  /** Resolves when the signal has aborted; what stands stays. Never rejects. */
  readonly ended: Promise<void>;
}

const RETRY_MS = 1_000;
const AUDIT_MS = 10_000;

/** Keeps the tables until `signal` aborts. */
export function startPolicyKeeper(parts: PolicyKeeperParts, signal: AbortSignal): PolicyKeeper {
  const { clock, log } = parts;
  let waiting: (() => void)[] = [];
  let wake = (): void => {};
  let isDirty = true;
  const ring = (): void => {
    isDirty = true;
    wake();
  };
  signal.addEventListener("abort", ring);
  const keeper = new Keeper(parts);
  const watching = watchNodeNetwork({
    clock,
    signal,
    onChange: () => {
      keeper.forgetNetwork();
      ring();
    },
    onError: (error) => log.warn("cannot watch the interfaces of pods", { cause: String(error) }),
  });
  const run = async (): Promise<void> => {
    let lastAuditMs = clock.monotonicMs();
    while (!signal.aborted) {
      const served = waiting;
      waiting = [];
      try {
        if (isDirty) {
          isDirty = false;
          await keeper.bringUp();
        }
        if (clock.monotonicMs() - lastAuditMs >= AUDIT_MS) {
          await keeper.audit();
          lastAuditMs = clock.monotonicMs();
        }
        for (const done of served) done();
      } catch (error) {
        log.warn("cannot hold identities in the kernel", { cause: String(error) });
        parts.onFailed?.(error);
        isDirty = true;
        keeper.forgetNetwork();
        waiting.push(...served);
        await clock.sleep(RETRY_MS, signal);
      }
      if (!isDirty && !signal.aborted) {
        const nap = new AbortController();
        wake = () => nap.abort();
        await clock.sleep(AUDIT_MS, AbortSignal.any([signal, nap.signal]));
      }
    }
    for (const done of waiting) done();
    await watching;
  };
  const refresh = (): Promise<void> => {
    if (signal.aborted) return Promise.resolve();
    const applied = new Promise<void>((resolve) => waiting.push(resolve));
    ring();
    return applied;
  };
  return { refresh, ended: run() };
}

class Keeper {
  readonly #parts: PolicyKeeperParts;
  readonly #planner = new NetworkPlanner();
  #memory: BindingMemory = new Map();
  #hasDetour: boolean | undefined;
  #problems = "";
  /** What was read last, for these pods. */
  #network: { readonly pods: string; readonly read: NodeNetwork } | undefined;
  #networkChanges = 0;

  constructor(parts: PolicyKeeperParts) {
    this.#parts = parts;
  }

  async bringUp(): Promise<void> {
    const { apply, input, ports, onApplied } = this.#parts;
    const { network: policies, ...known } = input();
    const network = await this.#readNetwork(known.pods);
    const bound = bindPods(known.pods, network, this.#memory);
    const { bindings, memory, unsupported } = bound;
    const all = network.links.filter(({ kind }) => kind === "bridge");
    const bridgeIndexes = all.map(({ index }) => index);
    const bridges = bridgesOf(network, bindings);
    const { nodeAddresses } = network;
    const judged = policies && { network: policies };
    const found = { bindings, nodeAddresses, bridges, bridgeIndexes };
    const world = { ...known, ...judged, ...found, ports };
    const detour = await this.#detour(network, world);
    await apply.apply(planPolicyTables({ ...world, ...detour }, this.#planner));
    this.#memory = memory;
    if (detour === undefined) this.#dropDetour();
    else this.forgetNetwork();
    const shut = shutPods(policies?.pods ?? [], this.#planner.closed);
    const problems = [...bound.problems, ...blindSpots(network, world), ...shut];
    this.#report(problems);
    onApplied({ bindings, problems, unsupported });
  }

  /** It may be another. */
  forgetNetwork(): void {
    this.#network = undefined;
    this.#networkChanges++;
  }

  /** Policies change more often than pods and interfaces, of which the watch tells. */
  async #readNetwork(pods: readonly PolicyPod[]): Promise<NodeNetwork> {
    const text = JSON.stringify(pods);
    if (this.#network?.pods === text) return this.#network.read;
    const changes = this.#networkChanges;
    const read = await readNodeNetwork();
    if (changes === this.#networkChanges) this.#network = { pods: text, read };
    return read;
  }

  async audit(): Promise<void> {
    this.forgetNetwork();
    const drift = await this.#parts.apply.audit();
    if (drift.length > 0) this.#parts.log.warn("somebody changed the policy tables", { drift });
  }

  /** Needed where an enrolled pod is on a bridge whose frames the IP hooks see. */
  async #detour(
    network: NodeNetwork,
    { pods, bindings }: PolicyWorld,
  ): Promise<Required<Pick<PolicyWorld, "detour">> | undefined> {
    const enrolled = new Set(pods.filter(({ mode }) => mode !== "off").map(({ uid }) => uid));
    const isNeeded = bindings.some(
      ({ uid, link }) => link.master !== undefined && enrolled.has(uid),
    );
    if (!isNeeded || !(network.watched.ip || network.watched.ip6)) return undefined;
    this.#hasDetour = true;
    return { detour: await ensureDetour(DETOUR_LINKS, network.links) };
  }

  #dropDetour(): void {
    if (this.#hasDetour === false) return;
    removeDetour(DETOUR_LINKS);
    this.#hasDetour = false;
  }

  /** Once for each set of them: they come back with every change. */
  #report(problems: readonly string[]): void {
    const text = problems.join("\n");
    if (text === this.#problems) return;
    this.#problems = text;
    // Pods that end lose their interface before anybody hears of it: no reason to warn.
    if (problems.length > 0)
      this.#parts.log.info("pods that are not bound, or closed", { problems });
  }
}

function bridgesOf(network: NodeNetwork, bindings: readonly Binding[]): readonly PolicyBridge[] {
  const bound = new Set(bindings.map(({ link }) => link.index));
  return network.links
    .filter(({ kind }) => kind === "bridge")
    .map(({ index, name, address }) => {
      const ports = network.links.filter((link) => link.master === index && bound.has(link.index));
      return { name, address, ports };
    })
    .filter(({ ports }) => ports.length > 0);
}

/** Frames between ports of one bridge pass by our chains unless br_netfilter shows them. */
function blindSpots({ watched }: NodeNetwork, { bridges }: PolicyWorld): readonly string[] {
  const programs = { ip: "iptables", ip6: "ip6tables" } as const;
  return bridges.flatMap(({ name }) =>
    (["ip", "ip6"] as const)
      .filter((family) => !watched[family])
      .map((family) => {
        const key = `net.bridge.bridge-nf-call-${programs[family]}`;
        return `Cannot close pods on bridge ${name} to their neighbours: ${key} is not 1`;
      }),
  );
}

// Identities and policies on one node, from the control process's side: who is enrolled, whose keys
// are needed, what workers know, what the kernel holds. One loop, woken by whatever changes; in
// every round workers learn what is new before the kernel sends connections, and forget after it
// stopped.

import { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { KubeStore, ObjectKey } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { TrustBundles } from "../../lib/x509/svid.ts";
import type { UnsupportedAddresses } from "../plan/guard-binding.ts";
import { hasIdentities } from "../plan/identity-lane.ts";
import { isEmptyDelta, TunnelLedger } from "../plan/tunnel-ledger.ts";
import { ALL_SUPPORTED, NOBODY, type TunnelPlan } from "../plan/tunnel-plan.ts";
import { TunnelPlanner, type TunnelSettings } from "../plan/tunnel-planner.ts";
import type { PolicyPlanDelta, WorkerDelta } from "../plan/policy-plan.ts";
import type { EnforcementReport, HeldPolicies } from "../model/enforcement-report.ts";
import type { SpiffeUri, TunnelPlanDelta } from "../model/tunnel-plan.ts";
import { type KeyEvent, KeyKeeper, type Sign } from "./key-keeper.ts";
import type { NodePolicies } from "./node-policies.ts";
import type { PolicyApply, PolicyCounts } from "./policy-apply.ts";
import { keepBeating } from "./policy-heartbeat.ts";
import { type PolicyKeeper, type PolicyState, startPolicyKeeper } from "./policy-keeper.ts";
import type { TrustSource } from "./trust-watch.ts";

/** Proxy workers, as far as they carry identities and judge by policies. */
export interface TunnelWorkers {
  /** Starts them, unless they run, as soon as that disturbs nobody. */
  start(): void;
  /** Tells each of them. Resolves when it is in force, or soon. */
  update(delta: WorkerDelta): Promise<void>;
  /** True while some worker takes connections. */
  healthy(): boolean;
}

export interface NodeIdentityParts {
  readonly settings: TunnelSettings & { readonly tunnelPort: number; readonly directPort: number };
  readonly store: KubeStore;
  /** Missing where this node enforces none. */
  readonly policies?: NodePolicies;
  /** How long a change of policies took until the kernel held it. */
  readonly onEnforced?: (durationMs: number) => void;
  /** The kernel holds what is known. */
  readonly onApplied?: () => void;
  readonly apply: PolicyApply;
  readonly authority: TrustSource;
  readonly sign: Sign;
  /** Resolves when this agent alone writes the node's tables; never when another goes on. */
  readonly held: Promise<void>;
  /** From then on: whether workers of the agent before take connections until ours do. */
  readonly hasPredecessor: () => boolean;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly onKeyEvent: (event: KeyEvent) => void;
  /** Told once each time that the problems are others than before. */
  readonly onProblem: (problem: Problem) => void;
}

/** The kernel may refuse for a while; workers are told all the same. */
const KERNEL_WITHIN_MS = 2_000;
/** An authority that is a Service of this cluster may be reached only once Services are served. */
const CERTIFIED_WITHIN_MS = 2_000;
/** Whoever replaced what signs waits for certificates of what signs now, to end the old root. */
const RENEWED_WITHIN_MS = 5_000;
/** Until our workers listen, those of the agent before do: they wait for ours, and no longer. */
const HANDOVER_MS = 5_000;
const NOTHING: TunnelPlan = {
  workloads: new Map(),
  peers: new Map(),
  host: undefined,
  identities: new Set(),
  policy: { pods: [], peers: [] },
  problems: [],
};

export class NodeIdentity {
  readonly #parts: NodeIdentityParts;
  readonly #planner: TunnelPlanner;
  readonly #ledger = new TunnelLedger();
  readonly #keys: KeyKeeper;
  /** What was answered about Services, to find those whose answer changed. */
  readonly #answers = new Map<ObjectKey, boolean>();
  #workers: TunnelWorkers | undefined;
  #keeper: PolicyKeeper | undefined;
  #plan = NOTHING;
  #trusted: TrustBundles = new Map();
  #signer: string | undefined;
  readonly #prepared = Promise.withResolvers<void>();
  #kernel: PolicyState = { bindings: [], problems: [], unsupported: ALL_SUPPORTED };
  /** The same map while it says the same. */
  #unsupported = ALL_SUPPORTED;
  #dropped: PolicyCounts = { spoofed: 0, closed: 0 };
  #problems = "";
  #held: HeldPolicies = new Map();
  /** Why the kernel does not hold what was asked for. */
  #refused: string | undefined;
  #wake = (): void => {};
  #isDirty = true;
  /** When that which the next round is for was seen, monotonic. */
  #dirtyMs = 0;

  constructor(parts: NodeIdentityParts) {
    this.#parts = parts;
    const { store, settings, sign, clock, random, onKeyEvent } = parts;
    this.#planner = new TunnelPlanner(store, settings);
    this.#keys = new KeyKeeper({
      sign,
      bundles: () => this.#trusted,
      bannedUntilMs: () => this.#bannedUntilMs(),
      clock,
      random,
      onChange: () => this.#mark(),
      onEvent: onKeyEvent,
    });
  }

  share(workers: TunnelWorkers): void {
    this.#workers = workers;
  }

  /**
   * Resolves when a worker that starts would know all it needs, or when certificates take long:
   * before that, nobody should be sent to one, or be asked to stop serving.
   */
  get prepared(): Promise<void> {
    return this.#prepared.promise;
  }

  /** For a worker that starts. */
  whole(): WorkerDelta {
    const policy = this.#parts.policies?.whole();
    return { ...this.#ledger.whole(), ...(policy && { policy }) };
  }

  /** Whether a pod of this node that has an identity may call an endpoint that has one. */
  hasIdentities(service: ObjectKey): boolean {
    const answer = this.#judge(service);
    this.#answers.set(service, answer);
    return answer;
  }

  /** Of the enrolled pod that has the address; null where there is none. */
  identityOf(address: string): SpiffeUri | null {
    const { workloads, peers } = this.#plan;
    const known = (workloads.get(address) ?? peers.get(address))?.identity ?? NOBODY;
    return known === NOBODY ? null : known;
  }

  /** For people. */
  get state() {
    const { workloads, peers, host, problems } = this.#plan;
    const { trust } = this.#parts.authority;
    return {
      workloads,
      peers,
      host,
      problems,
      keys: this.#keys.states,
      kernel: this.#kernel,
      dropped: this.#dropped,
      trust: trust(),
    };
  }

  /** Which policies hold here. */
  get enforcement(): EnforcementReport {
    const closed = this.#parts.policies?.shut;
    const problems = this.#refused === undefined ? [] : [this.#refused];
    return { policies: this.#held, problems, ...(closed && { closed }) };
  }

  /** Something that policies name may be elsewhere than before. */
  look(): void {
    this.#mark();
  }

  /** Works until `signal` aborts; rules stay in the kernel then. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, authority, clock } = this.#parts;
    const mark = (): void => this.#mark();
    const stops = [store.onChange(mark), authority.onChange(() => this.#trustChanged())];
    signal.addEventListener("abort", mark);
    this.#trustChanged();
    while (!store.synced && !signal.aborted) await this.#nap(signal);
    const keys = this.#keys.run(signal);
    const kernel = this.#parts.held.then(() => this.#keepKernel(signal));
    void clock.sleep(CERTIFIED_WITHIN_MS, signal).then(() => this.#prepared.resolve());
    this.#dirtyMs = clock.monotonicMs();
    while (!signal.aborted) {
      const sinceMs = this.#isDirty ? this.#dirtyMs : clock.monotonicMs();
      this.#isDirty = false;
      await this.#round(sinceMs, signal);
      await this.#nap(signal);
    }
    for (const stop of stops) stop();
    await Promise.all([keys, kernel]);
  }

  async #keepKernel(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { apply, clock, log, settings, hasPredecessor, onApplied, policies } = this.#parts;
    const isHandover = hasPredecessor();
    const handoverMs = isHandover ? clock.monotonicMs() + HANDOVER_MS : 0;
    // Before the tables are written: with them goes what the agent before said.
    if (isHandover) await apply.tell("living");
    let asked: HeldPolicies = new Map();
    const keeper = startPolicyKeeper(
      {
        apply,
        clock,
        log,
        ports: { tunnel: settings.tunnelPort, direct: settings.directPort },
        input: () => {
          const network = policies?.network;
          if (network !== undefined) asked = policies?.known ?? asked;
          return { ...this.#plan.policy, ...(network && { network }) };
        },
        onApplied: (state) => {
          this.#kernel = state;
          this.#learn(state.unsupported);
          this.#held = asked;
          this.#refused = undefined;
          onApplied?.();
        },
        onFailed: (error) => {
          this.#refused = String(error);
        },
      },
      signal,
    );
    this.#keeper = keeper;
    const isLiving = (): boolean =>
      this.#workers?.healthy() === true || clock.monotonicMs() < handoverMs;
    const isWatched = (): boolean => this.#plan.identities.size > 0 || this.#held.size > 0;
    const onCounts = (counts: PolicyCounts): void => void (this.#dropped = counts);
    const beating = keepBeating({ apply, clock, log, isLiving, isWatched, onCounts }, signal);
    await Promise.all([beating, keeper.ended]);
  }

  async #round(sinceMs: number, signal: AbortSignal): Promise<void> {
    const { clock, authority, policies } = this.#parts;
    const before = this.#plan;
    const plan = this.#planner.plan(clock.monotonicMs(), this.#unsupported);
    this.#plan = plan;
    const arePoliciesOthers = policies?.update(plan) === true;
    this.#report(plan.problems);
    this.#keys.need(plan.identities);
    const { workloads, peers, host, identities } = plan;
    this.#ledger.replace({
      workloads,
      peers,
      host,
      credentials: this.#keys.credentials,
      ...authority.trust(),
    });
    if (identities.size > 0) this.#workers?.start();
    const { credentials } = this.#keys;
    if (identities.values().every((identity) => credentials.has(identity))) {
      this.#prepared.resolve();
    }
    await this.#tell(this.#ledger.takeFresh(), policies?.takeFresh());
    if (plan !== before || arePoliciesOthers) {
      const late = new AbortController();
      const limit = clock.sleep(KERNEL_WITHIN_MS, AbortSignal.any([signal, late.signal]));
      const inForce = this.#refresh(arePoliciesOthers ? sinceMs : undefined);
      await Promise.race([inForce, limit]);
      late.abort();
      this.#markServices();
    }
    await this.#tell(this.#ledger.takeGone(), policies?.takeGone());
  }

  /** What cannot be proven is known once the kernel's view of the network was looked at. */
  #learn(unsupported: UnsupportedAddresses): void {
    if (isDeepStrictEqual(unsupported, this.#unsupported)) return;
    this.#unsupported = unsupported;
    this.#mark();
  }

  /** @param sinceMs when a change of policies was seen */
  async #refresh(sinceMs: number | undefined): Promise<void> {
    const { clock, onEnforced } = this.#parts;
    if (this.#keeper === undefined) return;
    await this.#keeper.refresh();
    if (sinceMs !== undefined) onEnforced?.(clock.monotonicMs() - sinceMs);
  }

  async #tell(delta: TunnelPlanDelta, policy: PolicyPlanDelta | undefined): Promise<void> {
    if (isEmptyDelta(delta) && policy === undefined) return;
    await this.#workers?.update({ ...delta, ...(policy && { policy }) });
  }

  /** Of this node. */
  #bannedUntilMs(): number {
    const { settings, authority } = this.#parts;
    const bans = authority.trust().bans.filter(({ node }) => node === settings.nodeName);
    return Math.max(-Infinity, ...bans.map(({ untilMs }) => untilMs));
  }

  #trustChanged(): void {
    const { trust, signer } = this.#parts.authority;
    this.#trusted = new Map(
      [...trust().bundles].map(([domain, roots]) => [
        domain,
        roots.map((pem) => new X509Certificate(pem)),
      ]),
    );
    const before = this.#signer;
    this.#signer = signer?.();
    if (before !== undefined && before !== this.#signer) this.#keys.renewAll(RENEWED_WITHIN_MS);
    this.#keys.recheck();
    this.#mark();
  }

  #judge(service: ObjectKey): boolean {
    return hasIdentities(this.#plan, this.#parts.store.slicesOf(service));
  }

  #markServices(): void {
    const { store } = this.#parts;
    const changed: ObjectKey[] = [];
    for (const [service, answer] of this.#answers) {
      if (!store.services.has(service)) this.#answers.delete(service);
      else if (this.#judge(service) !== answer) changed.push(service);
    }
    if (changed.length > 0) store.touch(changed);
  }

  /** Once for each set of them: they come back with every change. */
  #report(problems: readonly Problem[]): void {
    const text = JSON.stringify(problems);
    if (text === this.#problems) return;
    this.#problems = text;
    for (const problem of problems) this.#parts.onProblem(problem);
  }

  #mark(): void {
    if (!this.#isDirty) this.#dirtyMs = this.#parts.clock.monotonicMs();
    this.#isDirty = true;
    this.#wake();
  }

  async #nap(signal: AbortSignal): Promise<void> {
    if (this.#isDirty && this.#parts.store.synced) return;
    const { clock } = this.#parts;
    const nap = new AbortController();
    this.#wake = () => nap.abort();
    const napMs = Math.min(this.#planner.nextMs - clock.monotonicMs(), 60_000);
    await clock.sleep(Math.max(0, napMs), AbortSignal.any([signal, nap.signal]));
  }
}

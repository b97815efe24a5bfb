// Program: the kernel side of identities on a node, told by its parent who is enrolled.

import { systemClock } from "../../lib/clock/system-clock.ts";
import { makeLogger, standardError } from "../../lib/log/logger.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { PolicyApply, type PolicyCounts } from "../../netpol-identity/apply/policy-apply.ts";
import {
  type PolicyInput,
  type PolicyState,
  startPolicyKeeper,
} from "../../netpol-identity/apply/policy-keeper.ts";
import { removePolicy } from "../../netpol-identity/apply/policy-removal.ts";
import { DEFAULT_POLICY_PORTS } from "../../netpol-identity/plan/policy-table-parts.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { ensureLaneRoutes } from "../../service-proxy/apply/lane-routes.ts";

/** Calls that this program takes on standard input. */
export interface IdentityAgentCalls {
  /** Resolves when the kernel has it. */
  readonly hold: { readonly request: PolicyInput; readonly reply: PolicyState };
  readonly counts: { readonly request: object; readonly reply: PolicyCounts };
  readonly tell: {
    readonly request: { readonly word: "living" | "dead" };
    readonly reply: null;
  };
  readonly audit: { readonly request: object; readonly reply: readonly string[] };
  /** Stops keeping, and removes everything. */
  readonly remove: { readonly request: object; readonly reply: readonly string[] };
}

if (import.meta.main) {
  const kernel = await openNetlinkKernel();
  const log = makeLogger({ level: "warn", format: "text", destination: standardError() });
  const apply = new PolicyApply(kernel, log);
  const stop = new AbortController();
  let input: PolicyInput = { pods: [], peers: [] };
  let word: "living" | "dead" = "dead";
  // Fails while somebody has removed the table.
  const beat = (): Promise<void> => apply.tell(word).catch(() => {});
  setInterval(() => void beat(), 1_000).unref();
  let state: PolicyState = { bindings: [], problems: [], unsupported: new Map() };
  ensureLaneRoutes(["ip", "ip6"]);
  const keeper = startPolicyKeeper(
    {
      apply,
      clock: systemClock,
      log,
      ports: DEFAULT_POLICY_PORTS,
      input: () => input,
      onApplied: (applied) => (state = applied),
    },
    stop.signal,
  );
  answerCalls<IdentityAgentCalls>({
    async hold(request) {
      input = request;
      await keeper.refresh();
      return state;
    },
    counts: () => apply.counts(),
    async tell(request) {
      ({ word } = request);
      await apply.tell(word);
      return null;
    },
    audit: () => apply.audit(),
    async remove() {
      stop.abort();
      await keeper.ended;
      return removePolicy(kernel);
    },
  });
}

// Program: the kernel side of policies on a node, told by its parent what holds for whom.

import { systemClock } from "../../lib/clock/system-clock.ts";
import { makeLogger, standardError } from "../../lib/log/logger.ts";
import { openConntrackTable } from "../../lib/netlink/conntrack.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { startFlowCleaner } from "../../netpol-identity/apply/flow-cleaner.ts";
import { type DenialCounts, PolicyApply } from "../../netpol-identity/apply/policy-apply.ts";
import { startPolicyKeeper } from "../../netpol-identity/apply/policy-keeper.ts";
import { NO_POLICIES, type NetworkWorld } from "../../netpol-identity/plan/network-world.ts";
import { DEFAULT_POLICY_PORTS } from "../../netpol-identity/plan/policy-table-parts.ts";
import { sampleGroups } from "../../netpol-identity/evaluate/sample-set.ts";
import { answerCalls } from "../../playground/line-calls.ts";

/** What can be written down of a world. */
export interface PolicyRequest extends Pick<NetworkWorld, "pods" | "hold" | "podCidrs"> {
  /** Addresses by group. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** The node's own addresses. */
  readonly exempt: readonly string[];
}

/** Calls that this program takes on standard input. */
export interface PolicyKernelCalls {
  /** Resolves when the kernel has it. */
  readonly hold: { readonly request: PolicyRequest; readonly reply: null };
  readonly denials: { readonly request: object; readonly reply: DenialCounts };
  readonly audit: { readonly request: object; readonly reply: readonly string[] };
}

if (import.meta.main) {
  const kernel = await openNetlinkKernel();
  const log = makeLogger({ level: "info", format: "text", destination: standardError() });
  const apply = new PolicyApply(kernel, log);
  const { signal } = new AbortController();
  let network = NO_POLICIES;
  let groups = sampleGroups({});
  let exempt: ReadonlySet<string> = new Set();
  const keeper = startPolicyKeeper(
    {
      apply,
      clock: systemClock,
      log,
      ports: DEFAULT_POLICY_PORTS,
      input: () => ({ pods: [], peers: [], network }),
      onApplied: () => {},
    },
    signal,
  );
  const cleaner = startFlowCleaner(
    {
      table: openConntrackTable(systemClock),
      clock: systemClock,
      world: () => ({
        pods: new Map(
          network.pods.flatMap((pod) => pod.addresses.map((address) => [address, pod] as const)),
        ),
        groups,
        identityOf: () => null,
        isHost: () => false,
        isService: (address) => exempt.has(address),
      }),
      onDone: () => {},
      onError: (error) => log.warn("cannot clean", { cause: String(error) }),
    },
    signal,
  );
  answerCalls<PolicyKernelCalls>({
    async hold({ pods, hold, podCidrs, ...request }) {
      groups = sampleGroups(request.groups);
      exempt = new Set(request.exempt);
      network = { ...NO_POLICIES, pods, hold, podCidrs, groups };
      await keeper.refresh();
      cleaner.request();
      return null;
    },
    denials: () => apply.denials(),
    audit: () => apply.audit(),
  });
}

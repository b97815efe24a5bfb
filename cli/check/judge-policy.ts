// Checks of policies: who enforces them here, and what stands in the way. Pure.

import type { Facts } from "./facts.ts";
import { type Check, fail, ifKnown, ok, some, type Verdict, warn, withDetails } from "./verdict.ts";

export const POLICY_CHECKS: readonly Check[] = [
  { id: "policy.engine", worst: "warn", judge: judgeEngine },
  whereOn("policy.tables", "fail", judgeTables),
  whereOn("policy.current", "fail", judgeCurrent),
  whereOn("policy.bridges", "fail", judgeBridges),
  whereOn("policy.denial-log", "warn", judgeDenialLog),
  {
    id: "policy.tunnel-port",
    worst: "fail",
    appliesTo: ({ settings, pre }) => settings.identity.mode !== "none" && !pre,
    judge: judgeTunnelPort,
  },
];

/** Where policies are off, one line says so. */
function whereOn(id: string, worst: Check["worst"], judge: Check["judge"]): Check {
  return { id, worst, appliesTo: isOn, judge };
}

function isOn({ settings, pre }: Facts): boolean {
  return settings.networkPolicy !== "none" && !pre;
}

function judgeEngine({ settings, policy: { engines, count } }: Facts): Verdict {
  return ifKnown(engines, (found) => {
    if (settings.networkPolicy !== "none") {
      if (found.length === 0) return ok("nobody else enforces policies here");
      return warn(
        `another engine enforces policies, too: ${some(found)}: both must allow a connection`,
        "turn one of them off: this one with --network-policy=none, the other as its makers say; " +
          "then remove what it left in the kernel",
      );
    }
    if (found.length > 0) return ok(`policies are off; they are left to ${some(found)}`);
    return ifKnown(count, (policies) =>
      policies === 0
        ? ok("policies are off, and there are none")
        : warn(
            `nobody enforces the ${policies} NetworkPolicies of the cluster on this node`,
            "start the agent with --network-policy=enforce, or install another engine",
          ),
    );
  });
}

function judgeTables({ policy: { missingTables } }: Facts): Verdict {
  return ifKnown(missingTables, (missing) =>
    missing.length === 0
      ? ok("the kernel holds the tables of policies")
      : fail(
          `no table innermesh-policy in ${some(missing, ", ", missing.length)}: all is open there`,
          "look in the agent's log for why",
        ),
  );
}

function judgeCurrent({ policy: { lacking } }: Facts): Verdict {
  return ifKnown(lacking, (policies) =>
    policies.length === 0
      ? ok("the agent holds every policy as it is now")
      : withDetails(
          fail(
            `the agent does not hold ${some(policies)} as it is now`,
            "ask again in a moment; if it stays, look in the agent's log for why",
          ),
          policies,
        ),
  );
}

function judgeBridges({ host: { bridges }, policy: { watchedBridges, count } }: Facts): Verdict {
  return ifKnown(bridges, (all) =>
    ifKnown(watchedBridges, (watched) => {
      const busy = all.filter(({ veths }) => veths.length > 0).map(({ name }) => name);
      if (busy.length === 0 || (watched.ip && watched.ip6)) {
        return ok("no pod reaches another past the rules, over a bridge");
      }
      const message = `pods on the same bridge (${some(busy)}) reach each other past all policies`;
      const hint =
        "modprobe br_netfilter, then sysctl -w net.bridge.bridge-nf-call-iptables=1 " +
        "net.bridge.bridge-nf-call-ip6tables=1";
      return ifKnown(count, (policies) =>
        policies === 0 ? warn(message, hint) : fail(message, hint),
      );
    }),
  );
}

function judgeDenialLog({ policy: { logRefusal } }: Facts): Verdict {
  return ifKnown(logRefusal, (code) =>
    code === undefined
      ? ok("the kernel can tell of what it denies")
      : warn(
          `the kernel takes no rules that log (${code}): what it denies is counted, and not told`,
          "load or build the modules nft_log, nft_limit and nfnetlink_log, then restart the agent",
        ),
  );
}

function judgeTunnelPort({ settings, policy: { tunnelBlocks } }: Facts): Verdict {
  const port = settings.identity.tunnelPort;
  return ifKnown(tunnelBlocks, (rules) =>
    rules.length === 0
      ? ok(`no rule of others denies port ${port}`)
      : fail(
          `denied by others: TCP port ${port}, by which tunnels come, in ${some(rules)}`,
          "let it pass between nodes and pods: our tables cannot overrule another's drop",
        ),
  );
}

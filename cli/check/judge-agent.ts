// Checks of who serves the Services of this node: kube-proxy, or our agent and its tables. Pure.

import type { Facts, PageFacts, TableFacts } from "./facts.ts";
import {
  type Check,
  fail,
  ifKnown,
  ok,
  skip,
  some,
  type Verdict,
  warn,
  withDetails,
} from "./verdict.ts";

const BEFORE_INSTALL = "before an install there is no agent";
const START_AGENT = "look at the agent's log: kubectl -n kube-system logs -l k8s-app=kube-proxy";

export const AGENT_CHECKS: readonly Check[] = [
  { id: "kube-proxy.rules", worst: "fail", judge: judgeRules },
  { id: "kube-proxy.process", worst: "fail", judge: judgeProcess },
  { id: "agent.owner", worst: "fail", judge: afterInstall(judgeOwner) },
  { id: "agent.livez", worst: "fail", judge: afterInstall(judgeLivez) },
  { id: "agent.healthz", worst: "fail", judge: afterInstall(judgeHealthz) },
  { id: "agent.proxy-mode", worst: "fail", judge: afterInstall(judgeProxyMode) },
  { id: "agent.table", worst: "fail", judge: afterInstall(judgeTables) },
];

function afterInstall(judge: Check["judge"]): Check["judge"] {
  return (facts) => (facts.pre ? skip(BEFORE_INSTALL) : judge(facts));
}

function judgeRules({ rivals: { rules }, pre }: Facts): Verdict {
  return ifKnown(rules, (found) => {
    if (found.length === 0) return ok("kube-proxy has no rules here");
    if (pre) return ok(`to be taken over: ${some(found)}`);
    return fail(
      `kube-proxy's rules stand beside ours: ${some(found)}`,
      "stop kube-proxy on this node, then restart the agent: it takes them away at its start",
    );
  });
}

function judgeProcess({ rivals: { processes }, pre }: Facts): Verdict {
  return ifKnown(processes, (found) => {
    if (found.length === 0) return ok("no kube-proxy runs here");
    const pids = some(found.map((pid) => `process ${pid}`));
    if (pre) return ok(`kube-proxy runs (${pids}): take it off this node as you install`);
    return fail(
      `kube-proxy runs (${pids}) and writes its rules again whenever it likes`,
      "take the kube-proxy DaemonSet off this node: only one may own the Services",
    );
  });
}

/** The ports are kube-proxy's, so an answer alone does not tell whose it is. */
function judgeOwner({ agent: { metricsAreOurs }, settings }: Facts): Verdict {
  if (settings.metricsAddress === undefined) return skip("--metrics-bind-address is empty");
  if (metricsAreOurs.kind === "unknown") {
    return fail(`no agent answers: ${metricsAreOurs.why}`, START_AGENT);
  }
  if (metricsAreOurs.value) return ok("our agent answers");
  return fail(
    "another program answers on the agent's metrics port",
    "find it with ss -ltnp, or set --metrics-bind-address",
  );
}

function judgeLivez({ agent: { livez }, settings }: Facts): Verdict {
  if (settings.healthzAddress === undefined) return skip("--healthz-bind-address is empty");
  if (livez.kind === "unknown") return fail(`/livez does not answer: ${livez.why}`, START_AGENT);
  return answered("/livez", livez.value, START_AGENT);
}

function judgeHealthz({ agent: { healthz }, settings }: Facts): Verdict {
  if (settings.healthzAddress === undefined) return skip("--healthz-bind-address is empty");
  if (healthz.kind === "unknown")
    return fail(`/healthz does not answer: ${healthz.why}`, START_AGENT);
  if (healthz.value.status !== 200 && healthz.value.body.includes('"nodeEligible":false')) {
    return warn(
      "/healthz says that load balancers should avoid this node",
      "expected while the node is deleted or drained by the cluster autoscaler",
    );
  }
  return answered("/healthz", healthz.value, START_AGENT);
}

function judgeProxyMode({ agent: { proxyMode }, settings }: Facts): Verdict {
  if (settings.metricsAddress === undefined) return skip("--metrics-bind-address is empty");
  if (proxyMode.kind === "unknown") {
    return fail(`/proxyMode does not answer: ${proxyMode.why}`, START_AGENT);
  }
  const mode = proxyMode.value.body.trim();
  if (mode === "nftables") return ok("nftables");
  return fail(`/proxyMode says "${mode}"`, "this is kube-proxy in another mode: take it away");
}

function judgeTables({ agent: { tables } }: Facts): Verdict {
  return ifKnown(tables, (found) => {
    const wrong = found.filter(({ state }) => state === "missing" || state.length > 0);
    if (wrong.length === 0) return ok("the kernel holds exactly what the plan says");
    const lines = wrong.flatMap(differences);
    const verdict = fail(
      `${lines.length} differences from the plan: ${some(lines)}`,
      "an agent that runs mends this within its --audit-period; if it stays, look at its log, " +
        "and see that this check is given the agent's own flags",
    );
    return withDetails(verdict, lines);
  });
}

function differences({ family, state }: TableFacts): readonly string[] {
  return state === "missing" ? [`table ${family} innermesh is missing`] : state;
}

function answered(path: string, { status, body }: PageFacts, hint: string): Verdict {
  if (status === 200) return ok(`${path} answers 200`);
  return fail(`${path} answers ${status}: ${body.slice(0, 200)}`, hint);
}

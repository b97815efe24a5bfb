// Checks of the proxy lanes: who takes their connections, and what leads there. Pure.

import { SOURCE_PORTS } from "../../lib/reactor/transparent-socket.ts";
import type { Facts } from "./facts.ts";
import { type Check, fail, ifKnown, ok, skip, some, type Verdict, warn } from "./verdict.ts";

export const LANE_CHECKS: readonly Check[] = [
  { id: "lane.kernel", worst: "fail", judge: whereNeeded(judgeKernel) },
  { id: "lane.workers", worst: "fail", judge: whereNeeded(judgeWorkers) },
  { id: "lane.routes", worst: "fail", judge: whereNeeded(judgeRoutes) },
  { id: "lane.input-drops", worst: "warn", judge: whereNeeded(judgeInputDrops) },
  { id: "lane.bridge-lift", worst: "fail", judge: whereNeeded(judgeLift) },
  { id: "lane.listen-ports", worst: "fail", judge: judgeListenPorts },
  { id: "lane.source-ports", worst: "warn", judge: judgeSourcePorts },
  { id: "lane.migrate-requests", worst: "warn", judge: judgeMigration },
  { id: "lane.admin-socket", worst: "warn", judge: judgeAdminSocket },
];

const BEFORE_INSTALL = "before an install there is no agent";

type LaneJudge = (facts: Facts, services: readonly string[]) => Verdict;

/** Nobody pays for lanes that no Service uses. */
function whereNeeded(judge: LaneJudge): Check["judge"] {
  return (facts) => {
    if (facts.pre) return skip(BEFORE_INSTALL);
    return ifKnown(facts.cluster.objects, ({ laneServices }) =>
      laneServices.length === 0 ? ok("no Service is in a proxy lane") : judge(facts, laneServices),
    );
  };
}

function judgeKernel({ kernel: { refusedLane } }: Facts): Verdict {
  return ifKnown(refusedLane, (parts) => {
    if (parts.length === 0) return ok("the kernel takes every rule that proxy lanes use");
    const words = parts.map(({ family, part, why }) => `${part} (${family}): ${why}`);
    return fail(
      `refused: ${some(words, "; ")}`,
      "load or build the modules nft_tproxy, nft_socket, nf_tproxy_ipv4 and nf_tproxy_ipv6",
    );
  });
}

function judgeWorkers(
  { agent: { proxyWorkers }, settings }: Facts,
  services: readonly string[],
): Verdict {
  if (settings.metricsAddress === undefined) return skip("--metrics-bind-address is empty");
  return ifKnown(proxyWorkers, (count) => {
    if (count > 0) return ok(`${count} take the connections of ${services.length} Services`);
    const meanwhile =
      settings.proxy.fallback === "kernel"
        ? "the kernel serves them without their routes"
        : "their connections are refused";
    return fail(
      `no proxy worker runs, but ${some(services)} needs one: ${meanwhile}`,
      "look in the agent's log for why workers end",
    );
  });
}

function judgeRoutes({ lane: { missingRoutes } }: Facts): Verdict {
  return ifKnown(missingRoutes, (missing) =>
    missing.length === 0
      ? ok("marked packets are delivered to this node")
      : fail(
          `missing: ${some(missing)}: packets for the proxy go elsewhere`,
          "restart the agent, which makes them; ip monitor rule route tells who takes them away",
        ),
  );
}

/** To the kernel, a packet that a worker takes is one for this node, whatever its destination. */
function judgeInputDrops({ host: { dropPolicies } }: Facts, services: readonly string[]): Verdict {
  return ifKnown(dropPolicies, (found) => {
    const inputs = found.filter(({ hook }) => hook === "input");
    if (inputs.length === 0) return ok("no other table drops input by policy");
    const names = inputs.map(({ table, chain }) => `${table} ${chain}`);
    return warn(
      `drops input that it does not accept: ${some(names)}: connections to ${some(services)} are ` +
        "input here, by the addresses of Services",
      "let it accept packets with mark 0x1000: our table cannot overrule another's drop",
    );
  });
}

function judgeLift({
  host: { bridges, bridgeCallsIptables },
  lane: { hasLiftLinks },
}: Facts): Verdict {
  return ifKnown(bridges, (all) => {
    const busy = all.filter(({ veths }) => veths.length > 0).map(({ name }) => name);
    return ifKnown(bridgeCallsIptables, (calls) => {
      if (busy.length === 0 || calls !== true) return ok("no bridged packet meets netfilter early");
      return ifKnown(hasLiftLinks, (isThere) =>
        isThere
          ? ok(`connections of pods on ${some(busy)} are lifted`)
          : fail(
              `br_netfilter watches ${some(busy)}, and links im0 and im1 are missing: pods there ` +
                "lose their connections to proxy lanes",
              "look in the agent's log for why it cannot lift connections off bridges",
            ),
      );
    });
  });
}

function judgeListenPorts({
  lane: { takenPorts },
  agent: { proxyWorkers },
  settings,
  pre,
}: Facts): Verdict {
  return ifKnown(takenPorts, (taken) => {
    const { insidePort, outsidePort } = settings.proxy;
    if (taken.length === 0) return ok(`${insidePort} and ${outsidePort} are free`);
    const names = taken.map(String).join(" and ");
    if (proxyWorkers.kind === "unknown" && !pre) {
      return skip(`${names}: no agent answers, so that nobody knows whether these are its workers`);
    }
    if (proxyWorkers.kind === "known" && proxyWorkers.value > 0) return ok(`workers hold ${names}`);
    return fail(
      `another program listens at ${names}: proxy workers cannot`,
      "find it with ss -ltnp, or set --proxy-inside-port and --proxy-outside-port",
    );
  });
}

function judgeSourcePorts({ host: { ephemeralPorts } }: Facts): Verdict {
  return ifKnown(ephemeralPorts, ({ first, last }) => {
    const own = `${SOURCE_PORTS.first}-${SOURCE_PORTS.last}`;
    if (last < SOURCE_PORTS.first || first > SOURCE_PORTS.last) {
      return ok(`${own} belong to the proxy`);
    }
    return warn(
      `source ports ${first}-${last} overlap the proxy's own, ${own}: a process of this node may ` +
        "hold the port that the proxy wants for the same endpoint, which costs another attempt",
      "sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
    );
  });
}

function judgeMigration({ lane: { migratesRequests }, pre }: Facts): Verdict {
  return ifKnown(migratesRequests, (on) => {
    if (on) return ok("on: connections that wait at a worker that ends move to another");
    if (pre) return ok("the agent will turn it on");
    return warn(
      "off: connections that wait at a worker that ends are reset",
      "sysctl -w net.ipv4.tcp_migrate_req=1, or restart the agent with a writable /proc/sys",
    );
  });
}

function judgeAdminSocket({ lane: { adminSocket }, pre }: Facts): Verdict {
  if (pre) return skip(BEFORE_INSTALL);
  return ifKnown(adminSocket, (why) =>
    why === undefined
      ? ok("top, tap and identity can ask")
      : warn(
          `top, tap and identity cannot ask the agent: ${why}`,
          "run this check in the agent's Pod, whose /run/innermesh is its own; see --admin-socket",
        ),
  );
}

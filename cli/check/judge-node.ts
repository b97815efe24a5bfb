// Checks of the node: forwarding, filters, limits, and who it is. Pure.

import { cidrContains } from "../../lib/ip/cidr.ts";
import { localPodCidrs } from "../../service-proxy/model/local-traffic.ts";
import type { BridgeFacts, Facts, InterfaceFacts } from "./facts.ts";
import { type Check, fail, ifKnown, ok, skip, some, type Verdict, warn } from "./verdict.ts";

export const NODE_CHECKS: readonly Check[] = [
  { id: "node.name", worst: "fail", judge: judgeName },
  { id: "node.address", worst: "fail", judge: judgeAddress },
  { id: "node.detect-local", worst: "fail", judge: judgeDetectLocal },
  { id: "node.ipv4-forwarding", worst: "fail", judge: judgeForwarding },
  { id: "node.ipv6-forwarding", worst: "fail", judge: judgeForwarding6 },
  { id: "node.bridge-netfilter", worst: "fail", judge: judgeBridges },
  { id: "node.rp-filter", worst: "warn", judge: judgeRpFilter },
  { id: "node.route-localnet", worst: "fail", judge: judgeRouteLocalnet },
  { id: "node.foreign-drops", worst: "warn", judge: judgeForeignDrops },
];

/** The kernel's own `all`, which is no interface but adds to each. */
const ALL = "all";
const NO_INTERFACES: ReadonlySet<string> = new Set([ALL, "default", "lo"]);
/** Bridges that only container networks of Kubernetes make. */
const POD_BRIDGES: ReadonlySet<string> = new Set(["cni0", "cbr0", "kube-bridge", "weave"]);

function judgeName({ nodeName, cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ node }) =>
    node === undefined
      ? fail(
          `there is no Node "${nodeName}": no endpoint counts as local`,
          "give --hostname-override the name that kubectl get nodes shows",
        )
      : ok(`Node "${nodeName}" is there`),
  );
}

function judgeAddress({ host: { addresses }, nodeName, cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ node }) => {
    if (node === undefined) return skip(`there is no Node "${nodeName}"`);
    return ifKnown(addresses, (own) => {
      const named = node.addresses.map(({ address }) => address);
      const here = named.filter((address) => own.includes(address));
      if (here.length > 0) return ok(`${some(here)} of Node "${nodeName}" is here`);
      return fail(
        `none of Node "${nodeName}"'s addresses (${some(named)}) is on this machine`,
        "run this check on the node itself, in its own network namespace",
      );
    });
  });
}

/** How the node tells its own pods' traffic from the rest. */
function judgeDetectLocal(facts: Facts): Verdict {
  const { detectLocal } = facts.settings;
  switch (detectLocal.kind) {
    case "ClusterCIDR":
      if (detectLocal.cidrs.length > 0) return ok(`--cluster-cidr=${detectLocal.cidrs.join(",")}`);
      return warn(
        "mode ClusterCIDR without --cluster-cidr: no traffic counts as a local pod's, so a " +
          "Service with external policy Local and no endpoint here drops its own pods' traffic",
        "set --cluster-cidr, or --detect-local-mode=NodeCIDR",
      );
    case "NodeCIDR":
      return judgeNodeCidr(facts);
    case "BridgeInterface":
      return ifKnown(facts.host.interfaces, (interfaces) =>
        interfaces.some(({ name }) => name === detectLocal.interfaceName)
          ? ok(`bridge ${detectLocal.interfaceName} is there`)
          : fail(
              `there is no interface ${detectLocal.interfaceName}: no traffic counts as local`,
              "set --pod-bridge-interface to the bridge that pods hang on",
            ),
      );
    case "InterfaceNamePrefix":
      return ifKnown(facts.host.interfaces, (interfaces) => {
        const found = interfaces.filter(({ name }) => name.startsWith(detectLocal.prefix));
        if (found.length > 0) return ok(`${found.length} interfaces start ${detectLocal.prefix}`);
        return warn(
          `no interface starts with ${detectLocal.prefix}: there are no pods here, or it is wrong`,
          "set --pod-interface-name-prefix to how this network names pods' interfaces",
        );
      });
    default:
      return detectLocal satisfies never;
  }
}

function judgeNodeCidr({ settings, cluster: { objects }, nodeName }: Facts): Verdict {
  return ifKnown(objects, ({ node, families }) => {
    const lacking = [...families].filter(
      (family) => localPodCidrs(settings.detectLocal, node, family).length === 0,
    );
    if (lacking.length === 0) return ok(`Node "${nodeName}" has podCIDRs`);
    return fail(
      `Node "${nodeName}" has no podCIDR in ${lacking.join(", ")}: everything is masqueraded there`,
      "let the controller manager allocate node CIDRs, or choose another --detect-local-mode",
    );
  });
}

function judgeForwarding({ host: { ipForward }, cluster: { objects } }: Facts): Verdict {
  if (objects.kind === "known" && !objects.value.families.has("ip")) {
    return skip("the cluster has no IPv4 addresses");
  }
  return ifKnown(ipForward, (on) =>
    on
      ? ok("on")
      : fail(
          "off: packets to endpoints on other nodes and to pods are dropped",
          "sysctl -w net.ipv4.ip_forward=1",
        ),
  );
}

function judgeForwarding6({ host: { ip6Forward }, cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ families }) => {
    if (!families.has("ip6")) return skip("the cluster has no IPv6 addresses");
    return ifKnown(ip6Forward, (on) =>
      on
        ? ok("on")
        : fail("off: IPv6 packets are not forwarded", "sysctl -w net.ipv6.conf.all.forwarding=1"),
    );
  });
}

/** Without it, replies between pods of one bridge bypass the translation back. */
function judgeBridges(facts: Facts): Verdict {
  const { bridges, bridgeCallsIptables } = facts.host;
  return ifKnown(bridges, (found) => {
    const busy = found.filter(({ veths }) => veths.length > 0);
    if (busy.length === 0) return ok("no veth hangs on a bridge");
    return ifKnown(bridgeCallsIptables, (calls) => {
      const names = some(busy.map(({ name }) => name));
      if (calls === true) return ok(`bridged packets of ${names} meet netfilter`);
      const why =
        calls === undefined ? "br_netfilter is not loaded" : "bridge-nf-call-iptables is 0";
      const pods = busy.filter((bridge) => holdsPods(facts, bridge)).map(({ name }) => name);
      const hint = "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1";
      if (pods.length === 0) return warn(`${why}; ${names} would need it if pods hang on it`, hint);
      return fail(
        `${why}: a pod on ${some(pods)} that meets a neighbour through a Service gets no answer`,
        hint,
      );
    });
  });
}

function holdsPods({ settings, cluster }: Facts, { name, addresses }: BridgeFacts): boolean {
  const { detectLocal } = settings;
  if (POD_BRIDGES.has(name)) return true;
  if (detectLocal.kind === "BridgeInterface" && detectLocal.interfaceName === name) return true;
  const node = cluster.objects.kind === "known" ? cluster.objects.value.node : undefined;
  return (node?.podCIDRs ?? []).some((cidr) =>
    addresses.some((address) => cidrContains(cidr, address)),
  );
}

/** The kernel uses the greater of `all` and the interface's own value. */
function judgeRpFilter({ host: { interfaces } }: Facts): Verdict {
  return ifKnown(interfaces, (found) => {
    const all = found.find(({ name }) => name === ALL);
    const strict = found
      .filter(({ name }) => !NO_INTERFACES.has(name))
      .filter(({ rpFilter }) => Math.max(rpFilter, all?.rpFilter ?? 0) === 1);
    if (strict.length === 0) return ok("not strict anywhere");
    const marked = strict.filter(({ srcValidMark }) => srcValidMark || all?.srcValidMark === true);
    const mark = marked.length > 0 ? "; src_valid_mark is on, so marks take part in it" : "";
    return warn(
      `strict on ${some(namesOf(strict))}: packets that come in another way than replies leave ` +
        `are dropped without a trace${mark}`,
      "where routes are not symmetric: sysctl -w net.ipv4.conf.all.rp_filter=2",
    );
  });
}

function judgeRouteLocalnet({ host: { interfaces } }: Facts): Verdict {
  return ifKnown(interfaces, (found) => {
    const open = found.filter(({ routeLocalnet }) => routeLocalnet);
    if (open.length === 0) return ok("127.0.0.0/8 stays on the node");
    const everywhere = open.some(({ name }) => name === ALL);
    const message =
      `route_localnet is on for ${some(namesOf(open))}: neighbours reach what listens on ` +
      "127.0.0.1 only";
    const hint =
      "sysctl -w net.ipv4.conf.all.route_localnet=0: kube-proxy leaves it on, we need it nowhere";
    return everywhere
      ? fail(message, hint)
      : warn(message, "find out who needs it, as CNI's portmap plug-in may");
  });
}

function judgeForeignDrops({ host: { dropPolicies } }: Facts): Verdict {
  return ifKnown(dropPolicies, (found) => {
    if (found.length === 0) return ok("no other table drops by policy");
    const names = found.map(({ table, chain, hook }) => `${table} ${chain} (${hook})`);
    return warn(
      `drops what it does not accept: ${some(names)}`,
      "let it accept forwarded Service traffic (ct status dnat) and the ports 10256 and of " +
        "healthCheckNodePort: our table cannot overrule another's drop",
    );
  });
}

function namesOf(interfaces: readonly InterfaceFacts[]): string[] {
  return interfaces.map(({ name }) => name);
}

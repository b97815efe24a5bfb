// Checks of the API server, of what it lets us do, and of the Services and routes in it. Pure.

import type { Problem } from "../../lib/kube/store.ts";
import { ENDPOINT_SLICES, GATEWAY_RELEASE, SERVICE_CIDRS } from "./access.ts";
import type { Facts } from "./facts.ts";
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

/** Older ones have neither ServiceCIDRs nor streamed lists; we are not tested with them. */
const OLDEST_TESTED_MINOR = 31;
/** Beyond this, fresh tokens and certificates count as not yet valid. */
const SKEW_FAIL_MS = 60_000;
/** The Date header has no fractions of a second. */
const SKEW_WARN_MS = 5_000;
const DIRECTORY = "a directory stands in for the API server";

export const CLUSTER_CHECKS: readonly Check[] = [
  { id: "cluster.source", worst: "fail", judge: judgeSource },
  { id: "cluster.version", worst: "warn", judge: judgeVersion },
  { id: "cluster.clock-skew", worst: "fail", judge: judgeSkew },
  { id: "cluster.endpoint-slices", worst: "fail", judge: judgeSlices },
  { id: "cluster.service-cidrs", worst: "warn", judge: judgeServiceCidrs },
  { id: "cluster.access", worst: "fail", judge: judgeAccess },
  { id: "cluster.services", worst: "warn", judge: judgeServices },
  { id: "gateway.definitions", worst: "warn", judge: judgeDefinitions },
  { id: "gateway.routes", worst: "warn", judge: judgeRoutes },
];

function judgeSource({ cluster: { objects, source } }: Facts): Verdict {
  if (objects.kind === "known") return ok(`read; ${objects.value.serviceCount} Services to serve`);
  return fail(
    objects.why,
    source === "api"
      ? "check --kubeconfig, and that this machine reaches the API server"
      : "check the path behind --source=dir:",
  );
}

function judgeVersion({ cluster: { version, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(version, (text) => {
    const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(text) ?? [];
    if (major === undefined || minor === undefined) return skip(`"${text}" is no version`);
    if (major === "1" && Number(minor) < OLDEST_TESTED_MINOR) {
      return warn(`Kubernetes ${text} is older than what we test`, "upgrade to 1.31 or newer");
    }
    return ok(`Kubernetes ${text}`);
  });
}

function judgeSkew({ cluster: { clockSkewMs, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(clockSkewMs, (skewMs) => {
    const seconds = Math.round(Math.abs(skewMs) / 1_000);
    const message = `the API server's clock is ${seconds} s ${skewMs > 0 ? "ahead" : "behind"}`;
    const hint = "set this node's clock: run an NTP client";
    if (Math.abs(skewMs) >= SKEW_FAIL_MS) return fail(message, hint);
    return Math.abs(skewMs) >= SKEW_WARN_MS ? warn(message, hint) : ok("clocks agree");
  });
}

function judgeSlices({ cluster: { resources, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(resources, (served) =>
    served.has(ENDPOINT_SLICES)
      ? ok(`${ENDPOINT_SLICES} is served`)
      : fail(`${ENDPOINT_SLICES} is not served: no endpoint is known`, "upgrade Kubernetes"),
  );
}

function judgeServiceCidrs({ cluster: { resources, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(resources, (served) =>
    served.has(SERVICE_CIDRS)
      ? ok(`${SERVICE_CIDRS} is served`)
      : warn(
          `${SERVICE_CIDRS} is not served: packets to unused ClusterIPs leave the node`,
          "upgrade to Kubernetes 1.33 or newer, or let your network drop them",
        ),
  );
}

function judgeAccess({ cluster: { denied, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(denied, (list) => {
    const needed = list.filter((one) => one.needed).map(({ access }) => access);
    const hint = "give the agent's ServiceAccount the ClusterRole of our manifests, innermesh-node";
    if (needed.length > 0) return fail(`these credentials may not ${some(needed)}`, hint);
    if (list.length === 0) return ok("these credentials may do all that the agent does");
    const missed = some(list.map(({ access }) => access));
    return warn(`these credentials may not ${missed}: it does without`, hint);
  });
}

/** Routes have a check of their own. */
function judgeServices({ cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ problems, serviceCount }) => {
    const lines = linesOf(problems.filter((problem) => !isOfRoute(problem)));
    if (lines.length === 0) return ok(`${serviceCount} Services, none with a problem`);
    const hint = "innermesh explain service NAMESPACE/NAME tells more";
    return withDetails(warn(some(lines, "; "), hint), lines);
  });
}

/** Meshes need the experimental channel for some of what routes can say. */
function judgeDefinitions({ cluster: { gatewayApi, source } }: Facts): Verdict {
  if (source === "directory") return skip(DIRECTORY);
  return ifKnown(gatewayApi, (found) => {
    const { version, channel } = GATEWAY_RELEASE;
    const hint = `apply the definitions of Gateway API ${version}, ${channel} channel`;
    if (found === undefined) return warn("the Gateway API is not installed: no routes", hint);
    if (found.version === "") return skip("these credentials may not read definitions");
    const installed = `Gateway API ${found.version}, ${found.channel} channel`;
    if (found.version === version && found.channel === channel) return ok(installed);
    return warn(`${installed}: not what we are tested with`, hint);
  });
}

/** By the code that writes Accepted and ResolvedRefs into them. */
function judgeRoutes({ cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ problems, routeCount }) => {
    const lines = linesOf(problems.filter(isOfRoute));
    if (lines.length === 0) return ok(`${routeCount} routes of Services, none with a problem`);
    const hint = "kubectl describe the route; innermesh explain service tells what is served";
    return withDetails(warn(some(lines, "; "), hint), lines);
  });
}

function isOfRoute({ object }: Problem): boolean {
  return /^(HTTP|GRPC|TCP|TLS)Route /.test(object);
}

function linesOf(problems: readonly Problem[]): readonly string[] {
  return [
    ...new Set(problems.map(({ object, field, message }) => `${object}: ${field}: ${message}`)),
  ];
}

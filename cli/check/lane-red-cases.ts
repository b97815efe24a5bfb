// What turns each check of routes and of the proxy lanes red; a healthy node is in red-cases.ts.

import { type Facts, known, type LaneFacts, unknown } from "./facts.ts";
import {
  agent,
  bridge,
  cluster,
  flags,
  GREEN,
  host,
  kernel,
  objects,
  problem,
  type RedCase,
  when,
} from "./red-cases.ts";

const lane = (more: Partial<LaneFacts>, from = GREEN): Facts => ({
  ...from,
  lane: { ...from.lane, ...more },
});
const before = (facts: Facts): Facts => ({ ...facts, pre: true });
const unused = (facts: Facts): Facts => objects({ laneServices: [] }, facts);

const routeProblem = {
  object: "HTTPRoute shop/a",
  field: "status.parents ResolvedRefs",
  message: "BackendNotFound: no Service shop/b with a cluster IP",
};

export const LANE_RED_CASES: readonly RedCase[] = [
  when(
    "gateway.definitions",
    "there are none",
    cluster({ gatewayApi: known(undefined) }),
    "warn",
    /not installed/,
  ),
  when(
    "gateway.definitions",
    "they are of another channel",
    cluster({ gatewayApi: known({ version: "v1.6.3", channel: "standard" }) }),
    "warn",
    /standard channel/,
  ),
  when(
    "gateway.definitions",
    "they are older",
    cluster({ gatewayApi: known({ version: "v1.2.0", channel: "experimental" }) }),
    "warn",
    /v1\.2\.0/,
  ),
  when(
    "gateway.definitions",
    "they may not be read",
    cluster({ gatewayApi: known({ version: "", channel: "" }) }),
    "skip",
  ),
  when(
    "gateway.routes",
    "one leads nowhere",
    objects({ problems: [routeProblem] }),
    "warn",
    /HTTPRoute shop\/a: .*BackendNotFound/,
  ),
  when("gateway.routes", "a Service has a problem", objects({ problems: [problem] }), "ok"),
  when("cluster.services", "a route has a problem", objects({ problems: [routeProblem] }), "ok"),

  when(
    "lane.kernel",
    "it knows no transparent proxying",
    kernel({ refusedLane: known([{ family: "ip", part: "transparent proxying", why: "ENOENT" }]) }),
    "fail",
    /transparent proxying \(ip\): ENOENT/,
  ),
  when(
    "lane.kernel",
    "nobody needs it",
    unused(kernel({ refusedLane: known([{ family: "ip", part: "a", why: "ENOENT" }]) })),
    "ok",
    /no Service is in a proxy lane/,
  ),
  when(
    "lane.workers",
    "none runs",
    agent({ proxyWorkers: known(0) }),
    "fail",
    /shop\/cart.*the kernel serves them without their routes/,
  ),
  when(
    "lane.workers",
    "none runs and the kernel may not stand in",
    agent({ proxyWorkers: known(0) }, flags("--proxy-fallback=refuse")),
    "fail",
    /are refused/,
  ),
  when("lane.workers", "none runs or is needed", unused(agent({ proxyWorkers: known(0) })), "ok"),
  when(
    "lane.workers",
    "no agent answers",
    agent({ proxyWorkers: unknown("ECONNREFUSED") }),
    "skip",
  ),
  when("lane.workers", "there are no metrics", flags("--metrics-bind-address="), "skip"),
  when("lane.workers", "it is before an install", before(GREEN), "skip"),
  when(
    "lane.routes",
    "a rule is gone",
    lane({ missingRoutes: known(["ip rule 99"]) }),
    "fail",
    /ip rule 99/,
  ),
  when(
    "lane.input-drops",
    "another table drops input by policy",
    host({ dropPolicies: known([{ table: "inet fw", chain: "in", hook: "input" }]) }),
    "warn",
    /inet fw in.*shop\/cart/,
  ),
  when(
    "lane.input-drops",
    "another table drops what is forwarded",
    host({ dropPolicies: known([{ table: "inet fw", chain: "f", hook: "forward" }]) }),
    "ok",
  ),
  when(
    "lane.bridge-lift",
    "br_netfilter watches a bridge of pods and the links are gone",
    lane(
      { hasLiftLinks: known(false) },
      host({ bridges: known([bridge("cni0")]), bridgeCallsIptables: known(true) }),
    ),
    "fail",
    /cni0/,
  ),
  when(
    "lane.bridge-lift",
    "br_netfilter does not watch the bridge",
    lane({ hasLiftLinks: known(false) }, host({ bridges: known([bridge("cni0")]) })),
    "ok",
  ),
  when(
    "lane.listen-ports",
    "others have them and no worker runs",
    agent({ proxyWorkers: known(0) }),
    "fail",
    /15001 and 15002/,
  ),
  when(
    "lane.listen-ports",
    "one is taken before an install",
    before(agent({ proxyWorkers: unknown("none") }, lane({ takenPorts: known([15_002]) }))),
    "fail",
    /15002/,
  ),
  when(
    "lane.listen-ports",
    "they are taken and no agent answers",
    agent({ proxyWorkers: unknown("ECONNREFUSED") }),
    "skip",
  ),
  when(
    "lane.listen-ports",
    "they are free",
    agent({ proxyWorkers: known(0) }, lane({ takenPorts: known([]) })),
    "ok",
    /15001 and 15002 are free/,
  ),
  when(
    "lane.source-ports",
    "processes of the node take from them",
    host({ ephemeralPorts: known({ first: 20_000, last: 60_999, reserved: [] }) }),
    "warn",
    /20000-60999 overlap .* 10240-29999/,
  ),
  when("lane.migrate-requests", "it is off", lane({ migratesRequests: known(false) }), "warn"),
  when(
    "lane.migrate-requests",
    "it is off before an install",
    before(lane({ migratesRequests: known(false) })),
    "ok",
  ),
  when("lane.admin-socket", "it is gone", lane({ adminSocket: known("ENOENT") }), "warn", /ENOENT/),
  when("lane.admin-socket", "it is not wanted", lane({ adminSocket: unknown("empty") }), "skip"),
];

// What a proxy worker does with a connection that the kernel hands it, and with a request on it: by
// the plan and the code that workers use. Pure.

import type { RequestHead } from "../../lib/http/message.ts";
import { familyOf } from "../../lib/ip/address.ts";
import type { FrontendSide, ProxyEndpoint } from "../../service-proxy/model/proxy-plan.ts";
import { normalisePath } from "../../service-proxy/model/route-path.ts";
import type { RouteTable } from "../../service-proxy/model/route-table.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { IP_FAMILY } from "../../service-proxy/plan/service-plan.ts";
import { type Client, sideFor, sourceAddress } from "../../service-proxy/proxy/client.ts";
import { compileRoutes } from "../../service-proxy/proxy/route-match.ts";
import {
  type BackendReport,
  type ProxyReading,
  ProxyView,
  type RuleReport,
  readingOf,
} from "../explain/proxy-report.ts";

export interface LaneConnection {
  /** What was dialled. */
  readonly address: string;
  readonly port: number;
  readonly client: Pick<Client, "address" | "kind" | "namespace">;
  /** The identity that the client's connections to an endpoint are carried to, if any is. */
  readonly tunnelTo: (endpoint: string) => string | undefined;
}

export interface ProxyStep {
  readonly port: string;
  readonly client: string;
  readonly reads: ProxyReading["kind"];
  /** Rules for this client, in their order; only without a request, which chooses one. */
  readonly rules: readonly RuleReport[];
  /** The rule that serves the request; its absence is no news where there are no rules. */
  readonly rule?: RuleReport;
  /** What the client is answered when nothing is sent on. */
  readonly answer?: string;
  readonly targets: readonly ProxyTarget[];
}

export interface ProxyTarget {
  /** 0–1; only of what is sent on by this rule, or by this server name. */
  readonly share: number;
  /** TLS: for whom it is. */
  readonly serverName?: string;
  /** `nowhere` for a reference that does not resolve: its share is refused. */
  readonly group: string;
  readonly endpoints: readonly {
    readonly at: string;
    readonly seesAddress: string;
    /** Missing where the worker calls it in plaintext. */
    readonly tunnelTo?: string;
  }[];
}

/** @returns undefined where workers know no such entry point: they reset the connection */
export function proxyStep(
  family: Pick<FamilyPlan, "proxy">,
  connection: LaneConnection,
  request: RequestHead | undefined,
): ProxyStep | undefined {
  const view = new ProxyView(family);
  const { address, port } = connection;
  const frontends = new Map(view.frontends);
  const nodePort = `${IP_FAMILY[familyOf(address)]} ${port}`;
  const frontend = frontends.get(`${address} ${port}`) ?? frontends.get(nodePort);
  const served = view.ports.get(frontend?.port ?? "");
  if (frontend === undefined || served === undefined) return undefined;
  const client: Client = { ...connection.client, port: 0, source: "" };
  const side = sideFor(frontend, client);
  const ofDoor = [{ group: side.group, weight: 1, share: 1, actions: [] }];
  const to = (backends: readonly BackendReport[] = ofDoor): readonly ProxyTarget[] =>
    targetsOf(view, backends, (endpoint) => endpointOf(endpoint, connection, side));
  const head = { port: frontend.port, client: clientInWords(client) };
  const reads = readingOf(served.kind);
  switch (reads.kind) {
    case "bytes": {
      const backends = reads.backends.length === 0 ? ofDoor : reads.backends;
      return { ...head, reads: "bytes", rules: [], targets: to(backends) };
    }
    case "server-names": {
      const all = reads.names.flatMap(({ hostname, backends }) =>
        to(backends).map((target) => ({ ...target, serverName: hostname })),
      );
      return { ...head, reads: "server-names", rules: [], targets: all };
    }
    case "http": {
      const table = served.kind.kind === "http" ? served.kind.routes : undefined;
      const rules = { table, reports: reads.rules };
      return { ...head, reads: "http", ...httpStep(rules, client, request, to) };
    }
    default:
      return reads satisfies never;
  }
}

type HttpStep = Pick<ProxyStep, "rules" | "rule" | "answer" | "targets">;

/** @param reports of the table's rules, in its order */
function httpStep(
  {
    table,
    reports,
  }: { readonly table: RouteTable | undefined; readonly reports: readonly RuleReport[] },
  { namespace }: Client,
  request: RequestHead | undefined,
  to: (backends: readonly BackendReport[] | undefined) => readonly ProxyTarget[],
): HttpStep {
  const matcher = table === undefined ? undefined : compileRoutes(table);
  if (table === undefined || matcher?.appliesTo(namespace) !== true) {
    return { rules: [], targets: to(undefined) };
  }
  if (request === undefined) return { rules: rulesFor(reports, namespace), targets: [] };
  const path = normalisePath(request.path);
  if (path === undefined)
    return { rules: [], answer: "400: no path that can be read", targets: [] };
  const matched = matcher.match({ ...request, path }, namespace);
  const rule = matched && reports[table.rules.indexOf(matched)];
  if (rule === undefined) return { rules: [], answer: "404: no rule matches", targets: [] };
  if (rule.answers === undefined) return { rules: [], rule, targets: to(rule.backends) };
  return { rules: [], rule, answer: rule.answers, targets: [] };
}

/** A namespace's own rules stand for all others (GEP-1294). */
function rulesFor(
  rules: readonly RuleReport[],
  namespace: string | undefined,
): readonly RuleReport[] {
  const own = rules.filter((rule) => rule.clientNamespace === namespace);
  return own.length > 0 ? own : rules.filter((rule) => rule.clientNamespace === undefined);
}

function targetsOf(
  { groups }: ProxyView,
  backends: readonly BackendReport[],
  inWords: (endpoint: ProxyEndpoint) => ProxyTarget["endpoints"][number],
): readonly ProxyTarget[] {
  const weighted = backends.filter(({ weight }) => weight > 0);
  return weighted.map(({ group = "nowhere", share }): ProxyTarget => {
    const endpoints = groups.get(group)?.endpoints ?? [];
    return { share, group, endpoints: endpoints.map(inWords) };
  });
}

function endpointOf(
  endpoint: ProxyEndpoint,
  { client, tunnelTo }: LaneConnection,
  side: FrontendSide,
): ProxyTarget["endpoints"][number] {
  const identity = tunnelTo(endpoint.address);
  const seen = sourceAddress({ ...client, port: 0, source: "" }, side, endpoint);
  return {
    at: joinPort(endpoint.address, endpoint.port),
    seesAddress: seen ?? "this node's",
    ...(identity !== undefined && { tunnelTo: identity }),
  };
}

function clientInWords({ kind, namespace }: Client): string {
  switch (kind) {
    case "pod":
      return namespace === undefined ? "a pod that is not known" : `a pod of ${namespace}`;
    case "host":
      return "a process of this node";
    case "outside":
      return "somebody who is no pod of this node";
    default:
      return kind satisfies never;
  }
}

function joinPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

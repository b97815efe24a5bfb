// What a proxy worker does with one Service port in one family, as data: how it reads the bytes,
// which rules it tries in which order, whom they lead to, and whose address endpoints see. Pure.

import type { Family } from "../../lib/nft/objects.ts";
import type {
  FrontendKey,
  FrontendSide,
  GroupKey,
  PortKind,
  ProxyGroup,
  WeightedGroup,
} from "../../service-proxy/model/proxy-plan.ts";
import type { RouteFilter, RouteRule } from "../../service-proxy/model/route-table.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { portKey } from "../../service-proxy/plan/proxy-port-plan.ts";
import { IP_FAMILY } from "../../service-proxy/plan/service-plan.ts";
import { actionsInWords, filterInWords, matchInWords } from "./route-words.ts";

export interface ProxyReport {
  readonly doors: readonly ProxyDoor[];
  readonly reads: ProxyReading;
  /** Everybody that `doors` and `reads` lead to. */
  readonly groups: readonly GroupReport[];
}

/** An entry point that the kernel brings to the proxy. */
export interface ProxyDoor {
  /** `10.96.0.10:80`, or `port 30080` for a NodePort. */
  readonly at: string;
  readonly inside: FrontendSide;
  readonly outside: FrontendSide;
}

export type ProxyReading =
  /** Without backends, connections go to the group of their door. */
  | { readonly kind: "bytes"; readonly backends: readonly BackendReport[] }
  | {
      readonly kind: "server-names";
      readonly names: readonly {
        readonly hostname: string;
        readonly backends: readonly BackendReport[];
      }[];
    }
  /** Without rules, requests go to the group of their door. */
  | { readonly kind: "http"; readonly rules: readonly RuleReport[] };

export interface RuleReport {
  /** From 1, in the order in which rules are tried for these clients. */
  readonly place: number;
  /** Only for pods of this namespace; undefined for all clients without rules of their own. */
  readonly clientNamespace?: string;
  readonly route: string;
  readonly rule: string;
  readonly match: string;
  readonly actions: readonly string[];
  /** Empty: a filter answers, or 500. */
  readonly backends: readonly BackendReport[];
  /** What is answered instead of sending the request on. */
  readonly answers?: string;
}

export interface BackendReport {
  /** Undefined where the reference leads nowhere: its share is refused. */
  readonly group?: GroupKey;
  readonly weight: number;
  /** 0–1 */
  readonly share: number;
  readonly actions: readonly string[];
}

export interface GroupReport extends Omit<ProxyGroup, "endpoints"> {
  readonly group: GroupKey;
  /** `10.71.1.2:8080`, with what is known about the place. */
  readonly endpoints: readonly { readonly at: string; readonly where: string }[];
}

/** The proxy's plan of one family, by key. */
export class ProxyView {
  readonly ports: ReadonlyMap<string, { readonly kind: PortKind }>;
  readonly groups: ReadonlyMap<GroupKey, ProxyGroup>;
  readonly frontends: readonly (readonly [FrontendKey, ProxyDoorPlan])[];

  constructor({ proxy }: Pick<FamilyPlan, "proxy">) {
    const { frontends, ports, groups } = proxy.whole();
    this.ports = new Map(ports.flatMap(([key, port]) => (port === null ? [] : [[key, port]])));
    this.groups = new Map(groups.flatMap(([key, one]) => (one === null ? [] : [[key, one]])));
    this.frontends = frontends.flatMap(([key, one]) => (one === null ? [] : [[key, one]]));
  }
}

interface ProxyDoorPlan extends Omit<ProxyDoor, "at"> {
  readonly port: string;
}

/** @returns undefined for a port that the kernel serves alone */
export function proxyReport(
  view: ProxyView,
  family: Family,
  { service, port }: { readonly service: string; readonly port: number },
): ProxyReport | undefined {
  const key = portKey(service, port, IP_FAMILY[family]);
  const plan = view.ports.get(key);
  if (plan === undefined) return undefined;
  const own = view.frontends.filter(([, frontend]) => frontend.port === key);
  const doors = own.map(([at, { inside, outside }]) => ({ at: inWords(at), inside, outside }));
  const reads = readingOf(plan.kind);
  const names = new Set([
    ...doors.flatMap(({ inside, outside }) => [inside.group, outside.group]),
    ...groupsOf(plan.kind),
  ]);
  const groups = [...names].flatMap((name) => {
    const group = view.groups.get(name);
    return group === undefined ? [] : [groupReport(name, group)];
  });
  return { doors, reads, groups };
}

/** `10.96.0.10 80` as people write it; `IPv4 30080` is a NodePort. */
function inWords(key: FrontendKey): string {
  const [address = "", port = ""] = key.split(" ");
  if (address.startsWith("IPv")) return `port ${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

export function readingOf(kind: PortKind): ProxyReading {
  switch (kind.kind) {
    case "tcp":
      return { kind: "bytes", backends: backendsOf(kind.backends) };
    case "tls": {
      const names = kind.routes.map(({ hostname, backends }) => ({
        hostname,
        backends: backendsOf(backends),
      }));
      return { kind: "server-names", names };
    }
    case "http":
      return { kind: "http", rules: rulesOf(kind.routes?.rules ?? []) };
    default:
      return kind satisfies never;
  }
}

function rulesOf(rules: readonly RouteRule[]): readonly RuleReport[] {
  const places = new Map<string | undefined, number>();
  return rules.map((rule) => ruleReport(rule, places));
}

/** @param places how many rules each kind of client has had so far; counted on */
function ruleReport(rule: RouteRule, places: Map<string | undefined, number>): RuleReport {
  const { clientNamespace } = rule.match;
  const place = (places.get(clientNamespace) ?? 0) + 1;
  places.set(clientNamespace, place);
  const backends = backendsOf(rule.backends);
  const answers = answerOf(rule);
  return {
    place,
    ...(clientNamespace === undefined ? {} : { clientNamespace }),
    route: rule.route,
    rule: rule.rule,
    match: matchInWords(rule),
    actions: actionsInWords(rule),
    backends,
    ...(answers === undefined ? {} : { answers }),
  };
}

function answerOf({ filters, backends }: RouteRule): string | undefined {
  const redirect = filters.find(({ kind }) => kind === "redirect");
  if (redirect?.kind === "redirect") return String(redirect.status);
  return backends.some(({ weight }) => weight > 0) ? undefined : "500: no backend";
}

function backendsOf(
  backends: readonly (WeightedGroup & { readonly filters?: readonly RouteFilter[] })[],
): readonly BackendReport[] {
  const sum = backends.reduce((total, { weight }) => total + weight, 0);
  return backends.map(({ group, weight, filters = [] }) => ({
    ...(group === undefined ? {} : { group }),
    weight,
    share: sum === 0 ? 0 : weight / sum,
    actions: filters.flatMap(filterInWords),
  }));
}

function groupsOf(kind: PortKind): readonly GroupKey[] {
  const ofFilter = (filter: RouteFilter): GroupKey[] =>
    filter.kind === "mirror" ? [filter.group] : [];
  switch (kind.kind) {
    case "tcp":
      return kind.backends.flatMap(({ group }) => group ?? []);
    case "tls":
      return kind.routes.flatMap(({ backends }) => backends.flatMap(({ group }) => group ?? []));
    case "http":
      return (kind.routes?.rules ?? []).flatMap(({ filters, backends }) => [
        ...backends.flatMap(({ group }) => group ?? []),
        ...[...filters, ...backends.flatMap((backend) => backend.filters)].flatMap(ofFilter),
      ]);
    default:
      return kind satisfies never;
  }
}

function groupReport(group: GroupKey, { endpoints, ...rest }: ProxyGroup): GroupReport {
  return {
    group,
    ...rest,
    endpoints: endpoints.map(({ address, port, local, zone }) => ({
      at: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
      where: local ? "this node" : zone === undefined ? "another node" : `zone ${zone}`,
    })),
  };
}

// The groups of a planned port under other names: routes know Service ports only, proxies know the
// endpoints of one family under one traffic policy.

import type { GroupKey, PortKind, WeightedGroup } from "../model/proxy-plan.ts";
import type { RouteBackend, RouteFilter } from "../model/route-table.ts";

/** The new name of a group; undefined where there is none: its share is refused, or gets 500. */
export type RenameGroup = (name: string) => GroupKey | undefined;

/** The same port with each group renamed. */
export function renameGroups(kind: PortKind, rename: RenameGroup): PortKind {
  switch (kind.kind) {
    case "tcp":
      return { kind: "tcp", backends: renameWeighted(kind.backends, rename) };
    case "tls":
      return {
        kind: "tls",
        routes: kind.routes.map(({ hostname, backends }) => ({
          hostname,
          backends: renameWeighted(backends, rename),
        })),
      };
    case "http": {
      if (kind.routes === undefined) return kind;
      const rules = kind.routes.rules.map((rule) => ({
        ...rule,
        filters: renameFilters(rule.filters, rename),
        backends: rule.backends.map((backend) => renameBackend(backend, rename)),
      }));
      return { kind: "http", routes: { rules } };
    }
    default:
      return kind satisfies never;
  }
}

/** The groups that connections and requests are led to, mirrors apart. */
export function groupsOf(kind: PortKind): ReadonlySet<string> {
  const groups = new Set<string>();
  for (const { group } of backendsOf(kind)) if (group !== undefined) groups.add(group);
  return groups;
}

function backendsOf(kind: PortKind): readonly Pick<WeightedGroup, "group">[] {
  switch (kind.kind) {
    case "tcp":
      return kind.backends;
    case "tls":
      return kind.routes.flatMap(({ backends }) => backends);
    case "http":
      return kind.routes?.rules.flatMap(({ backends }) => backends) ?? [];
    default:
      return kind satisfies never;
  }
}

function renameWeighted(
  backends: readonly WeightedGroup[],
  rename: RenameGroup,
): readonly WeightedGroup[] {
  return backends.map(({ weight, group }) => {
    const renamed = group === undefined ? undefined : rename(group);
    return { weight, ...(renamed !== undefined && { group: renamed }) };
  });
}

function renameBackend(backend: RouteBackend, rename: RenameGroup): RouteBackend {
  const { weight, group } = backend;
  const renamed = group === undefined ? undefined : rename(group);
  const filters = renameFilters(backend.filters, rename);
  return { weight, filters, ...(renamed !== undefined && { group: renamed }) };
}

function renameFilters(
  filters: readonly RouteFilter[],
  rename: RenameGroup,
): readonly RouteFilter[] {
  return filters.flatMap((filter): readonly RouteFilter[] => {
    if (filter.kind !== "mirror") return [filter];
    const group = rename(filter.group);
    return group === undefined ? [] : [{ ...filter, group }];
  });
}

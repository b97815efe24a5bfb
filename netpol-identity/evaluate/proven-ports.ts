// The ports of a pod that only workers may serve: those about which a certificate or a request has
// to tell.

import type { PolicySet, PortRange, SetRule } from "./policy-set.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const [FIRST, LAST] = [1, 65_535];

type SetRules = Omit<PolicySet, "id" | "provenPorts">;

/** Sorted, without overlaps; none for what goes out. */
export function provenPorts(set: SetRules): readonly PortRange[] {
  if (set.direction === "egress") return [];
  const { network, account } = set;
  const lists = [set.admin, set.denies, network?.rules, account?.rules, set.baseline];
  const ranges = lists.flatMap((rules = []) => rules.filter(needsWorker).flatMap(rangesOf));
  const isByDefault = network === undefined && account === undefined;
  if (isByDefault && set.otherwise === "identity-required") {
    ranges.push({ protocol: "TCP", first: FIRST, last: LAST });
  }
  return PROTOCOLS.flatMap((protocol) =>
    merge(ranges.filter((range) => range.protocol === protocol)),
  );
}

function needsWorker({ peers, requests }: SetRule): boolean {
  return requests !== undefined || (peers !== "any" && peers.identities.length > 0);
}

function rangesOf({ ports }: SetRule): readonly PortRange[] {
  if (ports !== "any") return ports;
  return PROTOCOLS.map((protocol) => ({ protocol, first: FIRST, last: LAST }));
}

function merge(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last === undefined || range.first > last.last + 1) merged.push(range);
    else if (range.last > last.last) merged.splice(-1, 1, { ...last, last: range.last });
  }
  return merged;
}

// What a node attacks of its own, to see that it is kept from it: one attack of each kind and
// family for which there is a pod here, another pod each turn.

import { type Address, type AddressFamily, familyOf } from "../../lib/ip/address.ts";
import { judge } from "../evaluate/judge.ts";
import type { Groups, PolicySet } from "../evaluate/policy-set.ts";
import { coversPort } from "../evaluate/rule-match.ts";
import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import { DENIED_COUNTERS } from "./network-tables.ts";
import type { NetworkPod } from "./network-world.ts";
import { COUNTERS } from "./policy-table-parts.ts";

/**
 * "spoofed-source": with the address of another pod. "plaintext": to a strict pod. "skipped-proxy":
 * past the workers to a port that only they open. "denied": to a port that no policy opens.
 */
export type AttackKind = "spoofed-source" | "plaintext" | "skipped-proxy" | "denied";

/** A connection that must not come about. */
export interface Attack {
  readonly kind: AttackKind;
  readonly family: AddressFamily;
  readonly source: Address;
  readonly destination: Address;
  readonly port: number;
}

export interface CanaryWorld {
  /** Of this node. */
  readonly pods: readonly Pick<NetworkPod, "addresses" | "ingress">[];
  readonly groups: Groups;
  /** Addresses of pods whose interface is known: who has none yet, or no more, is not reached. */
  readonly bound: ReadonlySet<Address>;
  /** Those of strict pods. */
  readonly strict: readonly Address[];
}

/**
 * Who attacks where the sender does not matter: addresses that nobody has (RFC 5737, RFC 6666). The
 * first is on the canary's own link, so that reverse path filters let it in.
 */
export const STRANGERS: Readonly<Record<AddressFamily, Address>> = {
  ip: "192.0.2.2",
  ip6: "100::1",
};

const FAMILIES = ["ip", "ip6"] as const;
/** Discard: nothing happens to whoever listens there, should an attack get through. */
const HARMLESS_PORT = 9;
/** Looked at for one that is denied. */
const PORTS = [HARMLESS_PORT, 80, 443, 8_080, 1] as const;
const KEPT_OUT = [COUNTERS.closed, DENIED_COUNTERS.in, DENIED_COUNTERS.proven] as const;

/** Counters of which one counts the packets of an attack that is stopped. */
export const COUNTED_BY: Readonly<Record<AttackKind, readonly string[]>> = {
  "spoofed-source": [COUNTERS.spoofed],
  // A pod may be closed for more than one reason.
  plaintext: KEPT_OUT,
  "skipped-proxy": KEPT_OUT,
  denied: KEPT_OUT,
};

/** @param turn grows by one each time */
export function planAttacks(world: CanaryWorld, turn: number): readonly Attack[] {
  return FAMILIES.flatMap((family) => {
    const source = STRANGERS[family];
    const bound = [...world.bound].filter((address) => familyOf(address) === family);
    const spoofed = bound.map((destination, i): Attack => {
      const sender = bound[(i + 1) % bound.length] ?? destination;
      const port = HARMLESS_PORT;
      return { kind: "spoofed-source", family, source: sender, destination, port };
    });
    const fromStranger = (kind: AttackKind, targets: readonly Target[]): readonly Attack[] =>
      targets
        .filter(({ destination }) => bound.includes(destination))
        .map((target) => ({ kind, family, source, ...target }));
    const lists = [
      spoofed,
      fromStranger("plaintext", strictPods(world)),
      fromStranger("skipped-proxy", closedPorts(world)),
      fromStranger("denied", deniedPorts(world, source)),
    ];
    return lists.flatMap((attacks) => attacks[turn % attacks.length] ?? []);
  });
}

type Target = Pick<Attack, "destination" | "port">;

function strictPods({ strict }: CanaryWorld): readonly Target[] {
  return strict.map((destination) => ({ destination, port: HARMLESS_PORT }));
}

/** One that only workers open, of each pod that has any. */
function closedPorts({ pods }: CanaryWorld): readonly Target[] {
  return targetsOf(pods, ({ provenPorts }) =>
    provenPorts
      .filter(({ protocol }) => protocol === "TCP")
      .flatMap(({ first, last }) => [first, last])
      .find(isDirect),
  );
}

/** One that policies keep the stranger from, of each pod that has any. */
function deniedPorts({ pods, groups }: CanaryWorld, address: Address): readonly Target[] {
  return targetsOf(pods, (set) =>
    PORTS.find((port) => {
      if (coversPort(set.provenPorts, "TCP", port)) return false;
      return judge(set, { protocol: "TCP", port, address, identity: null }, groups).kind === "deny";
    }),
  );
}

function targetsOf(
  pods: CanaryWorld["pods"],
  portOf: (ingress: PolicySet) => number | undefined,
): readonly Target[] {
  return pods.flatMap(({ addresses, ingress }) => {
    const port = ingress && portOf(ingress);
    return port === undefined ? [] : addresses.map((destination) => ({ destination, port }));
  });
}

/** At the tunnels' port a worker answers, whoever asks. */
function isDirect(port: number): boolean {
  return port !== TUNNEL_PORT;
}

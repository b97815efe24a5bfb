// What a denial means: who called whom, and for which rule. The kernel tells of a packet, a worker
// of a connection or a request; rules of packets are found by judging again.

import { familyOf } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { LoggedPacket } from "../../lib/netlink/packet-log-codec.ts";
import { judge } from "../evaluate/judge.ts";
import type { PolicyIndex } from "../evaluate/policy-index.ts";
import type { Flow } from "../evaluate/verdict.ts";
import type { Denial, WorkerDenial } from "../model/denial-report.ts";
import type { Direction } from "../model/policy.ts";
import { DENIED } from "../plan/network-rules.ts";
import type { AddressBook } from "./address-book.ts";

export interface DenialWorld {
  readonly index: Pick<PolicyIndex, "setOf" | "groups" | "policiesOf">;
  readonly book: Pick<AddressBook, "pods" | "calledAt" | "addressOf">;
  /** Of the enrolled pod with an address; null for all others. */
  readonly identityOf: (address: string) => string | null;
}

export interface ReadDenial {
  readonly denial: Omit<Denial, "atMs" | "packets">;
  /** That the policy selects. */
  readonly pod: Pod | undefined;
}

type Call = Pick<Denial, "source" | "sourcePort" | "destination" | "port">;
interface Judged {
  readonly direction: Direction;
  readonly rule: string;
  readonly pod: Pod | undefined;
}

/** How the gate in front of the lanes of Services names what it drops. */
const DENIED_LANE = "denied-lane";
const PROTOCOLS = new Map<number, Flow["protocol"]>([
  [1, "ICMP"],
  [6, "TCP"],
  [17, "UDP"],
  [58, "ICMP"],
  [132, "SCTP"],
]);

export class DenialReader {
  readonly #world: DenialWorld;

  constructor(world: DenialWorld) {
    this.#world = world;
  }

  packet(packet: LoggedPacket): ReadDenial {
    const { prefix, source, sourcePort, destination, destinationPort: port } = packet;
    const call = { source, sourcePort, destination, port };
    if (prefix === DENIED_LANE) return this.#gated(call);
    const direction: Direction = prefix === DENIED.out ? "egress" : "ingress";
    const protocol = PROTOCOLS.get(packet.protocol) ?? String(packet.protocol);
    const pod = this.#world.book.pods.get(direction === "egress" ? source : destination);
    const flow = { ...call, protocol: PROTOCOLS.get(packet.protocol) ?? "ICMP" };
    const rule = this.#ruleOf(prefix, pod, direction, flow);
    return this.#read("kernel", { direction, rule, pod }, { ...call, protocol });
  }

  worker(told: WorkerDenial): ReadDenial {
    const { client: source, endpoint, service, rule, method, path } = told;
    const { book } = this.#world;
    const [name = "", port = ""] = service?.split(":") ?? [];
    const destination = endpoint?.address ?? book.addressOf(name, familyOf(source)) ?? "";
    const call = { source, sourcePort: 0, destination, port: endpoint?.port ?? Number(port) };
    const direction = this.#isEgress(call, rule) ? "egress" : "ingress";
    const pod = book.pods.get(direction === "egress" ? source : destination);
    const { denial } = this.#read("worker", { direction, rule, pod }, call);
    return {
      denial: {
        ...denial,
        ...(name !== "" && { service: name }),
        ...(method !== undefined && { method }),
        ...(path !== undefined && { path }),
      },
      pod,
    };
  }

  /** Nobody whom the Service leads to lets the client in, or whom it may call. */
  #gated(call: Call): ReadDenial {
    const called = this.#world.book.calledAt(call.destination, call.port);
    if (called === undefined) {
      const rule = "no endpoint of the Service admits it";
      return this.#read("gate", { direction: "ingress", rule, pod: undefined }, call);
    }
    const judged = called.endpoints.map(({ address, port }) =>
      this.#judge({ ...call, destination: address, port }),
    );
    const found = judged.find((one) => one?.direction === "ingress") ?? judged[0];
    const rule = `no endpoint of Service ${called.name} admits it`;
    const why: Judged =
      found?.direction === "egress"
        ? found
        : { ...NOWHERE, ...found, rule: found === undefined ? rule : `${rule}: ${found.rule}` };
    const { denial, pod } = this.#read("gate", why, call);
    return { denial: { ...denial, service: called.name }, pod };
  }

  /** Undefined where both sides allow it. */
  #judge(call: Call): Judged | undefined {
    const { pods } = this.#world.book;
    for (const direction of ["egress", "ingress"] as const) {
      const pod = pods.get(direction === "egress" ? call.source : call.destination);
      const rule = pod && this.#denyingRule(pod, direction, { ...call, protocol: "TCP" });
      if (rule !== undefined) return { direction, rule, pod };
    }
    return undefined;
  }

  #isEgress(call: Call, rule: string): boolean {
    const { index, book } = this.#world;
    const client = book.pods.get(call.source);
    if (client === undefined) return false;
    if (book.pods.has(call.destination)) return this.#judge(call)?.direction === "egress";
    return index.policiesOf(client, "egress").some((name) => rule.includes(name));
  }

  #ruleOf(
    prefix: string,
    pod: Pod | undefined,
    direction: Direction,
    flow: Call & Pick<Flow, "protocol">,
  ): string {
    if (pod === undefined) return "no pod is known to have the address yet";
    const rule = this.#denyingRule(pod, direction, flow);
    if (rule !== undefined) return rule;
    if (prefix === DENIED.proven) return "rules about identities or requests close its port";
    return "a policy that holds no more, or not yet";
  }

  #denyingRule(
    pod: Pod,
    direction: Direction,
    { protocol, port, source, destination }: Call & Pick<Flow, "protocol">,
  ): string | undefined {
    const { index, identityOf } = this.#world;
    const server = identityOf(destination);
    const flow: Flow = {
      protocol,
      port,
      address: direction === "egress" ? destination : source,
      // Who is called in person is judged before a worker accepts: by what both will prove.
      identity: direction === "egress" ? server : server && identityOf(source),
    };
    const verdict = judge(index.setOf(pod, direction), flow, index.groups);
    return verdict.kind === "deny" ? verdict.rule : undefined;
  }

  #read(
    by: Denial["by"],
    { direction, rule, pod }: Judged,
    call: Call & { readonly protocol?: string },
  ): ReadDenial {
    const { pods } = this.#world.book;
    const [from, to] = [pods.get(call.source), pods.get(call.destination)];
    const denial = {
      by,
      direction,
      rule,
      protocol: "TCP",
      ...call,
      ...(from !== undefined && { sourcePod: `${from.namespace}/${from.name}` }),
      ...(to !== undefined && { destinationPod: `${to.namespace}/${to.name}` }),
    };
    return { denial, pod };
  }
}

const NOWHERE: Pick<Judged, "direction" | "pod"> = { direction: "ingress", pod: undefined };

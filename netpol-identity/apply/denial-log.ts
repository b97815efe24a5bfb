// Denials as the kernel tells of them, a few each second: judged again for the rule's name, logged
// and told on the pod at a bounded rate, the last thousand kept.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { LoggedPacket } from "../../lib/netlink/packet-log-codec.ts";
import { judge } from "../evaluate/judge.ts";
import type { PolicyIndex } from "../evaluate/policy-index.ts";
import type { Flow } from "../evaluate/verdict.ts";
import type { Denial, DenialReport } from "../model/denial-report.ts";
import type { Direction } from "../model/policy.ts";
import { DENIED } from "../plan/network-rules.ts";

export interface DenialParts {
  readonly nodeName: string;
  readonly index: Pick<PolicyIndex, "setOf" | "groups">;
  /** By addresses of their own. */
  readonly pods: () => ReadonlyMap<string, Pod>;
  /** Of the enrolled pod with an address; null for all others. */
  readonly identityOf: (address: string) => string | null;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of one pair, port and rule about once a minute. @param pod that the policy selects */
  readonly onDenied: (pod: Pod, message: string) => void;
}

const MAX_DENIALS = 1_000;
const WINDOW_MS = 60_000;
/** Lines of the log in that time. */
const MAX_TOLD = 60;
const PROTOCOLS = new Map<number, Flow["protocol"]>([
  [1, "ICMP"],
  [6, "TCP"],
  [17, "UDP"],
  [58, "ICMP"],
  [132, "SCTP"],
]);

export class DenialLog {
  readonly #parts: DenialParts;
  readonly #denials = new Map<string, Denial>();
  readonly #told = new Set<string>();
  #windowEndMs = 0;
  #untold = 0;

  constructor(parts: DenialParts) {
    this.#parts = parts;
  }

  add(packet: LoggedPacket): void {
    const { source, sourcePort, destination, destinationPort: port } = packet;
    const protocol = PROTOCOLS.get(packet.protocol) ?? String(packet.protocol);
    const key = [protocol, source, sourcePort, destination, port].join(" ");
    const pods = this.#parts.pods();
    const [from, to] = [pods.get(source), pods.get(destination)];
    const direction: Direction = packet.prefix === DENIED.out ? "egress" : "ingress";
    const denial: Denial = {
      atMs: this.#parts.clock.wallMs(),
      direction,
      rule: this.#ruleOf(packet, direction === "egress" ? from : to, direction),
      protocol,
      source,
      sourcePort,
      destination,
      port,
      ...(from !== undefined && { sourcePod: `${from.namespace}/${from.name}` }),
      ...(to !== undefined && { destinationPod: `${to.namespace}/${to.name}` }),
      packets: (this.#denials.get(key)?.packets ?? 0) + 1,
    };
    this.#denials.delete(key);
    this.#denials.set(key, denial);
    for (const oldest of this.#denials.keys()) {
      if (this.#denials.size <= MAX_DENIALS) break;
      this.#denials.delete(oldest);
    }
    this.#tell(denial, direction === "egress" ? from : to);
  }

  report(): DenialReport {
    return { node: this.#parts.nodeName, denials: [...this.#denials.values()] };
  }

  #ruleOf(
    { prefix, source, destination, destinationPort, protocol }: LoggedPacket,
    pod: Pod | undefined,
    direction: Direction,
  ): string {
    if (pod === undefined) return "no pod is known to have the address yet";
    const { index, identityOf } = this.#parts;
    const server = identityOf(destination);
    const flow: Flow = {
      protocol: PROTOCOLS.get(protocol) ?? "ICMP",
      port: destinationPort,
      address: direction === "egress" ? destination : source,
      // Who is called in person is judged before a worker accepts: by what both will prove.
      identity: direction === "egress" ? server : server && identityOf(source),
    };
    const verdict = judge(index.setOf(pod, direction), flow, index.groups);
    if (verdict.kind === "deny") return verdict.rule;
    if (prefix === DENIED.proven) return "rules about identities or requests close its port";
    return "a policy that holds no more, or not yet";
  }

  #tell(denial: Denial, pod: Pod | undefined): void {
    const { log, onDenied } = this.#parts;
    const { atMs, protocol, port, rule, direction, source, destination } = denial;
    if (atMs >= this.#windowEndMs) this.#openWindow(atMs);
    const { sourcePod, destinationPod } = denial;
    const [from, to] = [sourcePod ?? source, destinationPod ?? destination];
    const key = [direction, from, to, protocol, port, rule].join(" ");
    if (this.#told.has(key)) return;
    if (this.#told.size >= MAX_TOLD) {
      this.#untold++;
      return;
    }
    this.#told.add(key);
    log.info("denied", {
      direction,
      source,
      destination,
      protocol,
      port,
      rule,
      ...(sourcePod !== undefined && { sourcePod }),
      ...(destinationPod !== undefined && { destinationPod }),
    });
    if (pod === undefined) return;
    onDenied(pod, `${direction} ${from} → ${to} port ${port}/${protocol}: ${rule}`);
  }

  #openWindow(nowMs: number): void {
    if (this.#untold > 0) this.#parts.log.warn("more was denied", { times: this.#untold });
    this.#windowEndMs = nowMs + WINDOW_MS;
    this.#told.clear();
    this.#untold = 0;
  }
}

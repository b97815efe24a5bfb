// Denials as the kernel and the workers tell of them, a few each second: with the rule's name,
// logged and told on the pod at a bounded rate, the last thousand kept. Both have some room for
// each caller, however much another one is denied.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { LoggedPacket } from "../../lib/netlink/packet-log-codec.ts";
import { FairRecords } from "../model/fair-records.ts";
import type { Denial, DenialReport, WorkerDenial } from "../model/denial-report.ts";
import { DenialReader, type DenialWorld, type ReadDenial } from "./denial-reader.ts";

export interface DenialParts extends DenialWorld {
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of one pair, port and rule about once a minute. @param pod that the policy selects */
  readonly onDenied: (pod: Pod, message: string) => void;
  /** Of senders that nobody needs to hear of. @default none */
  readonly ignored?: ReadonlySet<string>;
}

const MAX_DENIALS = 1_000;
const WINDOW_MS = 60_000;
/** Lines of the log in that time. */
const MAX_TOLD = 60;
/** With the first of callers that had none among those. */
const MAX_TOLD_WITH_FIRST = 300;

export class DenialLog {
  readonly #parts: DenialParts;
  readonly #reader: DenialReader;
  readonly #denials = new FairRecords<Denial>(MAX_DENIALS);
  readonly #told = new Set<string>();
  /** Whose denials these are. */
  readonly #toldCallers = new Set<string>();
  #windowEndMs = 0;
  #untold = 0;

  constructor(parts: DenialParts) {
    this.#parts = parts;
    this.#reader = new DenialReader(parts);
  }

  add(packet: LoggedPacket): void {
    if (this.#parts.ignored?.has(packet.source)) return;
    this.#keep(this.#reader.packet(packet), 1);
  }

  /** Has it told what workers denied. */
  addDenied(told: readonly WorkerDenial[]): void {
    for (const one of told) this.#keep(this.#reader.worker(one), one.times);
  }

  report(): DenialReport {
    return { node: this.#parts.nodeName, denials: this.#denials.values() };
  }

  #keep({ denial, pod }: ReadDenial, times: number): void {
    const { by, protocol, source, sourcePort, destination, port, method, path } = denial;
    const key = [by, protocol, source, sourcePort, destination, port, method, path].join(" ");
    const packets = (this.#denials.get(key)?.packets ?? 0) + times;
    const kept = { atMs: this.#parts.clock.wallMs(), ...denial, packets };
    this.#denials.set(key, callerOf(kept), kept);
    this.#tell(kept, pod);
  }

  #tell(denial: Denial, pod: Pod | undefined): void {
    const { log, onDenied } = this.#parts;
    const { atMs, by, protocol, port, rule, direction, source, destination } = denial;
    if (atMs >= this.#windowEndMs) this.#openWindow(atMs);
    const { sourcePod, destinationPod, service, method, path } = denial;
    const [from, to] = [sourcePod ?? source, destinationPod ?? service ?? destination];
    const key = [direction, from, to, protocol, port, rule].join(" ");
    if (this.#told.has(key)) return;
    const caller = callerOf(denial);
    const most = this.#toldCallers.has(caller) ? MAX_TOLD : MAX_TOLD_WITH_FIRST;
    if (this.#told.size >= most) {
      this.#untold++;
      return;
    }
    this.#told.add(key);
    this.#toldCallers.add(caller);
    log.info("denied", {
      by,
      direction,
      source,
      destination,
      protocol,
      port,
      rule,
      ...(sourcePod !== undefined && { sourcePod }),
      ...(destinationPod !== undefined && { destinationPod }),
      ...(service !== undefined && { service }),
      ...(method !== undefined && { method }),
      ...(path !== undefined && { path }),
    });
    if (pod === undefined) return;
    onDenied(pod, `${direction} ${from} → ${to} port ${port}/${protocol}: ${rule}`);
  }

  #openWindow(nowMs: number): void {
    if (this.#untold > 0) this.#parts.log.warn("more was denied", { times: this.#untold });
    this.#windowEndMs = nowMs + WINDOW_MS;
    this.#told.clear();
    this.#toldCallers.clear();
    this.#untold = 0;
  }
}

/** A pod, or what is no pod, for each pod that it calls: such a scanner has addresses enough. */
function callerOf({ sourcePod, destinationPod, service, destination }: Denial): string {
  return sourcePod ?? `to ${destinationPod ?? service ?? destination}`;
}

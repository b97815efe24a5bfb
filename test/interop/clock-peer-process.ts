// `clock-peer.ts` as a test sees it: a node in a program of its own, whose clock the test moves.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "../netns/served-node.ts";
import type { ClockPeerOptions, FromClockPeer, ToClockPeer } from "./clock-peer-protocol.ts";
import { MovingClock } from "../netns/moving-clock.ts";

const PROGRAM = join(import.meta.dirname, "clock-peer.ts");

export class ClockPeer implements AsyncDisposable {
  /** How often it asked for a certificate. */
  asked = 0;
  /** What became of certificates: `issued`, `failed`, `expired`. */
  readonly events: string[] = [];
  readonly #child: ChildProcess;
  readonly #sign: (csr: Buffer) => readonly string[];
  readonly #answers = new Map<number, (answer: string) => void>();
  #beat: Extract<FromClockPeer, { kind: "beat" }> | undefined;
  #beats = 0;
  #exchanges = 0;

  constructor(
    clock: MovingClock,
    options: ClockPeerOptions,
    sign: (csr: Buffer) => readonly string[],
  ) {
    this.#sign = sign;
    const words = [...clock.prefix, process.execPath, PROGRAM, JSON.stringify(options)];
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...words], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    createInterface(child.stdout).on("line", (line) => {
      this.#hear(JSON.parse(line) as FromClockPeer);
    });
  }

  /** Hears from it once more, and then how far its clock is ahead. */
  async aheadMs(): Promise<number> {
    const heard = this.#beats;
    await until("the peer's next beat", () => this.#beats > heard);
    return (this.#beat?.wallMs ?? 0) - Date.now();
  }

  /** As `TunnelNode.handshakes`. */
  get handshakes(): readonly string[] {
    return this.#beat?.handshakes ?? [];
  }

  /** As its pod. @returns what came back, or how it failed */
  exchange(target: string): Promise<string> {
    const id = ++this.#exchanges;
    const answer = new Promise<string>((resolve) => this.#answers.set(id, resolve));
    this.#tell({ kind: "exchange", id, target });
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
    await MovingClock.clean(this.#child.pid ?? 0);
  }

  #hear(message: FromClockPeer): void {
    switch (message.kind) {
      case "sign": {
        this.asked += 1;
        const chain = this.#sign(Buffer.from(message.csr, "base64"));
        return this.#tell({ kind: "signed", id: message.id, chain });
      }
      case "exchanged":
        return this.#answers.get(message.id)?.(message.answer);
      case "beat":
        this.#beat = message;
        this.#beats += 1;
        return;
      default:
        this.events.push(message.kind);
    }
  }

  #tell(message: ToClockPeer): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}

// A foreign program beside a test, in the test's own network namespace or in a named one: its lines
// can be awaited, and it dies with the test, however that ends.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 20;
const STOP_MS = 5_000;
const TOLD_LINES = 15;

export interface PeerOptions {
  readonly program: string;
  readonly words: readonly string[];
  /** A name under /run/netns. @default the caller's namespace */
  readonly netns?: string | undefined;
}

/** A running program. Disposing of it stops it. */
export class PeerProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #output: string[] = [];
  readonly #log: string[] = [];
  #end: string | undefined;

  constructor({ program, words, netns }: PeerOptions) {
    this.#name = program.slice(program.lastIndexOf("/") + 1);
    const inside = netns === undefined ? [] : ["ip", "netns", "exec", netns];
    const all = ["--pdeathsig", "KILL", "--", ...inside, program, ...words];
    this.#child = spawn("setpriv", all, { stdio: ["ignore", "pipe", "pipe"] });
    const { stdout, stderr } = this.#child;
    if (stdout) createInterface(stdout).on("line", (line) => this.#output.push(line));
    if (stderr) createInterface(stderr).on("line", (line) => this.#log.push(line));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    this.#child.on("error", (error) => {
      this.#end = error.message;
      resolve();
    });
    this.#child.on("close", (status, signal) => {
      this.#end ??= signal ?? `exit status ${status}`;
      resolve();
    });
  }

  /** Lines of standard output so far. */
  get output(): readonly string[] {
    return this.#output;
  }

  /** Lines of standard error so far. */
  get log(): readonly string[] {
    return this.#log;
  }

  /**
   * Waits until `isReady`, asked again and again, answers true.
   * @throws with the end of its log when it ends first or `limitMs` pass
   */
  async waitUntil(isReady: () => boolean, limitMs = 30_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!isReady()) {
      if (this.#end !== undefined) throw this.#failure(`it ended with ${this.#end}`);
      if (performance.now() > deadline) throw this.#failure(`not after ${limitMs} ms`);
      await delay(POLL_MS);
    }
  }

  /** Waits for the program's own end. @throws with the end of its log unless its status is 0 */
  async finish(): Promise<void> {
    await this.#closed;
    if (this.#end !== "exit status 0") throw this.#failure(`it ended with ${this.#end}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  #failure(why: string): Error {
    const end = this.#log.slice(-TOLD_LINES).join("\n");
    return new Error(`Cannot use ${this.#name}: ${why}; its log ends\n${end}`);
  }
}

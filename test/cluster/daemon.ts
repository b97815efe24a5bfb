// A long-running program under test control: its output goes to a file, it dies with its parent,
// and its end is known.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const LOG_LINES = 12;

export interface DaemonOptions {
  readonly command: string;
  /** `{ "log-level": "warn" }` becomes `--log-level=warn`. */
  readonly flags: Readonly<Record<string, string>>;
  /** Standard output and error are appended here. */
  readonly logFile: string;
}

/**
 * Starts a program. The kernel kills it when the thread that started it ends, so nothing outlives
 * a test, not even one that was killed.
 */
export function startDaemon({ command, flags, logFile }: DaemonOptions): Daemon {
  const parameters = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const log = openSync(logFile, "a");
  try {
    const words = ["--pdeathsig", "KILL", "--", command, ...parameters];
    const child = spawn("setpriv", words, { stdio: ["ignore", log, log] });
    return new Daemon(basename(command), child, logFile);
  } finally {
    closeSync(log);
  }
}

/** A program that was started. Disposing of it stops it. */
export class Daemon implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;
  /** Resolves with how the program ended. */
  readonly #ended: Promise<string>;
  /** Somebody else tells of the end: `stop` or `waitUntil`. */
  #expectsEnd = false;
  #running = true;

  constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name;
    this.logFile = logFile;
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#ended = promise;
    const end = (how: string): void => {
      this.#running = false;
      resolve(how);
    };
    child.on("error", (error) => end(error.message));
    child.on("exit", (status, signal) => end(signal ?? `exit status ${status}`));
    void promise.then((how) => this.#reportUnexpectedEnd(how));
  }

  /** The program's own id: setpriv(1) replaced itself by it. */
  get pid(): number {
    assert(this.#child.pid !== undefined, `${this.name} started`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /**
   * Waits until `isReady` answers true; a rejection means not yet.
   * @throws with the end of the log when the program ends first or `limitMs` pass
   */
  async waitUntil(isReady: () => Promise<boolean>, limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    this.#expectsEnd = true;
    while (!(await isReady().catch(() => false))) {
      if (!this.#running) await this.#fail(`it ended with ${await this.#ended}`);
      if (performance.now() > deadline) await this.#fail(`not ready after ${limitMs} ms`);
      await delay(25);
    }
    this.#expectsEnd = false;
  }

  /** Sends `signal`, and SIGKILL if the program still runs `limitMs` later. Waits for its end. */
  async stop(signal: NodeJS.Signals = "SIGTERM", limitMs = 5_000): Promise<void> {
    this.#expectsEnd = true;
    if (!this.#running) return;
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), limitMs);
    await this.#ended;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #reportUnexpectedEnd(how: string): Promise<void> {
    if (this.#expectsEnd) return;
    process.stderr.write(`${this.name} ended by itself with ${how}:\n${await this.#logEnd()}\n`);
  }

  async #fail(why: string): Promise<never> {
    throw new Error(`Cannot start ${this.name}: ${why}; its log ends\n${await this.#logEnd()}`);
  }

  async #logEnd(): Promise<string> {
    const log = await readFile(this.logFile, "utf8").catch(() => "");
    return log.trim().split("\n").slice(-LOG_LINES).join("\n");
  }
}

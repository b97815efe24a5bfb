// One proxy worker as a child process: started, told, listened to, ended.

import { type ChildProcess, spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import type { FromWorker, ToWorker } from "../model/worker-messages.ts";
import { readLines } from "./read-lines.ts";

const PROGRAM = fileURLToPath(new URL("../../roles/proxy-worker.ts", import.meta.url));
/** A worker that reads no more is as good as dead; a full plan of 10,000 Services is some 10 MB. */
const MAXIMUM_UNREAD_BYTES = 256 << 20;

export interface WorkerListener {
  onMessage(message: FromWorker): void;
  /** Once; whatever ended it. */
  onExit(how: string): void;
}

export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #channel: Duplex;

  constructor(listener: WorkerListener) {
    const flags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=4"];
    this.#child = spawn(process.execPath, [...flags, PROGRAM], {
      stdio: ["ignore", "inherit", "inherit", "pipe"],
      // A signal to the agent's group must not end connections.
      detached: true,
    });
    const channel = this.#child.stdio[3];
    if (!(channel instanceof Duplex)) throw new Error("Cannot talk to a worker: no channel");
    this.#channel = channel;
    readLines(channel, (line) => listener.onMessage(JSON.parse(line) as FromWorker));
    let over = false;
    const exit = (how: string): void => {
      if (over) return;
      over = true;
      listener.onExit(how);
    };
    this.#child.once("exit", (code, signal) => exit(signal ?? `exit code ${code}`));
    this.#child.once("error", (error) => exit(error.message));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  tell(message: ToWorker): void {
    if (!this.#channel.writable) return;
    this.#channel.write(`${JSON.stringify(message)}\n`);
    if (this.#channel.writableLength > MAXIMUM_UNREAD_BYTES) this.kill();
  }

  /** For one that answers no more: its connections are lost. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

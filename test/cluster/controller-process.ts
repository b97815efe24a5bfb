// One `innermesh controller` under test: started with what a Deployment gives it, frozen, thawed,
// stopped, and asked on its own port.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { ROOT } from "../../scripts/steps.ts";
import { findFreePort } from "./free-port.ts";

const LOOPBACK = "127.0.0.1";

export class ControllerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #output: Promise<string>;

  /** Starts one; it dies with this process. */
  static async start(kubeconfig: string): Promise<ControllerProcess> {
    const port = await findFreePort(LOOPBACK);
    const flags = [`--kubeconfig=${kubeconfig}`, `--metrics-bind-address=${LOOPBACK}:${port}`];
    const program = [`${ROOT}/bin/innermesh`, "controller", "--v=4", ...flags];
    const words = ["--pdeathsig", "KILL", "--", ...program];
    return new ControllerProcess(spawn("setpriv", words, { stdio: ["ignore", 2, "pipe"] }), port);
  }

  constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.#port = port;
    this.#output = child.stderr === null ? Promise.resolve("") : text(child.stderr);
  }

  /** @throws when it does not answer */
  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`http://${LOOPBACK}:${this.#port}${path}`, {
      signal: AbortSignal.timeout(2_000),
    });
    return { status: response.status, body: await response.text() };
  }

  async leads(): Promise<boolean> {
    const { body } = await this.get("/metrics");
    return /^leader_election_master_status\{[^}]*\} 1$/m.test(body);
  }

  /** No code of it runs until `thaw`; its connections stay. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Ends it as the kubelet does. @returns its exit code and all that it logged */
  async stop(): Promise<{ readonly code: number | null; readonly log: string }> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      await exited;
    }
    return { code: this.#child.exitCode, log: await this.#output };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#output;
  }
}

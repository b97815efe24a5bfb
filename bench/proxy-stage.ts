// The place of a proxy: a client pod, a node and a server pod, joined by veth pairs. Client and
// backends share the first processor; what is measured has the last one for itself.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createPlayground, type Playground, sweepPlaygrounds } from "../playground/cluster.ts";
import type { CommandResult } from "../playground/command.ts";
import type { PlaygroundNode, PlaygroundPod } from "../playground/topology.ts";
import { LOAD_SYSCTLS, NODE_SYSCTLS, pinned } from "./load-place.ts";
import {
  BACKEND_PORTS,
  GRPC_HEADERS,
  GRPC_PATH,
  WEBSOCKET_SERVER,
  writeBackendFiles,
} from "./proxy-backends.ts";
import { isHttp2, PROXY_SERVICES, type ProxyService } from "./proxy-subject.ts";
import { runInside, type Target } from "./rig.ts";

const PREFIX = "im-bench";
const LOAD_CORE = "0";
const PROXY_CORE = String(availableParallelism() - 1);
/** Each slice calls from the next of them: the ports of the slice before need not be free yet. */
const CLIENT_ADDRESSES = Array.from({ length: 40 }, (_, i) => `10.71.1.${101 + i}`);
const ANSWER_LIMIT_MS = 30_000;
const ANSWER_STEP_MS = 100;

/** Backends run when it resolves. */
export async function startProxyStage(): Promise<ProxyStage> {
  assert(availableParallelism() > 1, "one processor for the proxy, one for what calls it");
  await sweepPlaygrounds();
  const stack = new AsyncDisposableStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), "innermesh-bench-"));
    stack.defer(() => rm(directory, { recursive: true }));
    const playground = stack.use(
      await createPlayground({ prefix: PREFIX, nodes: 1, podsPerNode: 2, cni: "routed" }),
    );
    const stage = new ProxyStage(playground, directory, stack.move());
    await stage.prepare();
    return stage;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Made by `startProxyStage`. Disposing of it ends everything in it. */
export class ProxyStage implements AsyncDisposable {
  readonly playground: Playground;
  /** For files; goes with the stage. */
  readonly directory: string;
  readonly node: PlaygroundNode;
  readonly #client: PlaygroundPod;
  readonly #server: PlaygroundPod;
  readonly #stack: AsyncDisposableStack;
  #slices = 0;

  constructor(playground: Playground, directory: string, stack: AsyncDisposableStack) {
    this.playground = playground;
    this.directory = directory;
    this.node = playground.node(1);
    this.#client = playground.pod(1, 1);
    this.#server = playground.pod(1, 2);
    this.#stack = stack;
  }

  /** Called once, by `startProxyStage`. */
  async prepare(): Promise<void> {
    const { playground, directory } = this;
    for (const { netns } of [this.#client, this.node, this.#server]) {
      await playground.sysctl(netns, LOAD_SYSCTLS);
    }
    await playground.sysctl(this.node.netns, NODE_SYSCTLS);
    for (const address of CLIENT_ADDRESSES) {
      const route = `ip route add ${address} dev ${this.#client.hostInterface}`;
      await runInside(playground, this.#client.netns, `ip address add ${address}/32 dev eth0`);
      await runInside(playground, this.node.netns, route);
    }
    const nginx = ["nginx", "-p", directory, "-c", await writeBackendFiles(directory)];
    for (const argv of [nginx, [process.execPath, WEBSOCKET_SERVER]]) {
      this.#spawn(this.#server.netns, pinned(LOAD_CORE, argv), "inherit");
    }
    for (const service of PROXY_SERVICES) await this.awaitAnswer(service, this.backend(service));
  }

  /** A file that holds one request. */
  get grpcMessagePath(): string {
    return join(this.directory, GRPC_PATH);
  }

  /** Where a Service's backend listens. */
  backend(service: ProxyService): Target {
    return { address: this.#server.addresses.ip, port: BACKEND_PORTS[service] };
  }

  /**
   * Starts what is measured on the node; it runs until it is told to end or the stage goes.
   * @param stderr `pipe` is for the caller to read
   */
  spawnProxy(argv: readonly string[], stderr: "inherit" | "pipe" = "inherit"): ChildProcess {
    return this.#spawn(this.node.netns, pinned(PROXY_CORE, argv), stderr);
  }

  /** Runs a program of the client to its end; it must succeed. @returns its standard output */
  async runClient(argv: readonly string[]): Promise<string> {
    const address = CLIENT_ADDRESSES[this.#slices++ % CLIENT_ADDRESSES.length];
    const route = `ip route replace default via 169.254.1.1 dev eth0 onlink src ${address}`;
    await runInside(this.playground, this.#client.netns, route);
    const { code, stdout, stderr } = await this.#execClient(argv);
    assert.equal(code, 0, `${argv.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Waits until a Service answers 200 there. @throws when it does not within half a minute */
  async awaitAnswer(service: ProxyService, { address, port }: Target): Promise<void> {
    const url = `http://${address}:${port}${service === "grpc" ? GRPC_PATH : "/"}`;
    const argv = ["curl", "--silent", "--show-error", "--fail", "--max-time", "1", url];
    if (isHttp2(service)) argv.push("--http2-prior-knowledge");
    if (service === "grpc") argv.push("--data-binary", `@${this.grpcMessagePath}`);
    if (service === "grpc") argv.push("--header", GRPC_HEADERS[0], "--header", GRPC_HEADERS[1]);
    const deadlineMs = performance.now() + ANSWER_LIMIT_MS;
    for (;;) {
      const { code, stderr } = await this.#execClient(argv);
      if (code === 0) return;
      assert(performance.now() < deadlineMs, `${service} does not answer at ${url}: ${stderr}`);
      await delay(ANSWER_STEP_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #execClient(argv: readonly string[]): Promise<CommandResult> {
    return this.playground.exec(this.#client.netns, pinned(LOAD_CORE, argv));
  }

  #spawn(netns: string, argv: readonly string[], stderr: "inherit" | "pipe"): ChildProcess {
    return this.playground.spawn(netns, argv, { stdio: ["ignore", "ignore", stderr] });
  }
}

// The place of a tunnel: a client pod and a server pod on two nodes whose pods have identities, and
// beside them, at other addresses of the same two, pods that have none. Each node and its pod have
// a processor for themselves.

import assert from "node:assert/strict";
import { type ChildProcess, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { sweepPlaygrounds } from "../playground/cluster.ts";
import type { NodeProcess } from "../playground/node-process.ts";
import type { PlaygroundPod } from "../playground/topology.ts";
import type { Manifest } from "../service-proxy/plan/packet-case-manifests.ts";
import { Mesh } from "../test/netns/mesh-rig.ts";
import { until } from "../test/netns/served-node.ts";
import { LOAD_SYSCTLS, NODE_SYSCTLS, pinned } from "./load-place.ts";
import { BACKEND_PORTS, GRPC_PATH, writeBackendFiles } from "./proxy-backends.ts";
import { processTree } from "./process-cost.ts";
import { runInside, type Target } from "./rig.ts";
import { type Side, SIDES } from "./tunnel-subject.ts";

/** Of the server pod, what takes a stream and what sends one: see tunnel-stream-program.ts. */
export const STREAM_PORTS = { sink: 8_083, source: 8_084 } as const;
/** Where programs of the bench are. */
export function benchProgram(name: string): string[] {
  const path = fileURLToPath(new URL(`./${name}`, import.meta.url));
  return [process.execPath, "--disable-warning=ExperimentalWarning", path];
}

const BACKEND_PORT = BACKEND_PORTS.tcp;
const CORES: Readonly<Record<Side, string>> = {
  client: "0",
  server: String(availableParallelism() - 1),
};
const NUMBERS: Readonly<Record<Side, 1 | 2>> = { client: 1, server: 2 };
/** Each pair of two pods with identities has sessions of its own: 1,024 pairs. */
const PODS_EACH = 32;
const FIRST_HOST = 101;
const PLAIN_HOST = 250;

/** Agents have the certificates of all pods, and backends answer, when it resolves. */
export async function startTunnelStage(): Promise<TunnelStage> {
  assert(availableParallelism() > 1, "a processor for each of the two nodes");
  await sweepPlaygrounds();
  const stack = new AsyncDisposableStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), "innermesh-bench-"));
    stack.defer(() => rm(directory, { recursive: true }));
    const stage = new TunnelStage(stack.use(await Mesh.build()), directory, stack);
    await stage.prepare();
    return stage;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Made by `startTunnelStage`. Disposing of it ends everything in it. */
export class TunnelStage implements AsyncDisposable {
  /** For files; goes with the stage. */
  readonly directory: string;
  /** Addresses of pods with identities, `PODS_EACH` on both sides. */
  readonly pods: Readonly<Record<Side, readonly string[]>>;
  readonly #mesh: Mesh;
  readonly #stack: AsyncDisposableStack;
  readonly #pods = new Map<Side, PlaygroundPod>();

  constructor(mesh: Mesh, directory: string, stack: AsyncDisposableStack) {
    this.#mesh = mesh;
    this.directory = directory;
    this.#stack = stack;
    this.pods = { client: hosts("client"), server: hosts("server") };
  }

  /** Called once, by `startTunnelStage`. */
  async prepare(): Promise<void> {
    const { playground } = this.#mesh.served;
    for (const side of SIDES) {
      const node = playground.node(NUMBERS[side]);
      const { netns } = node;
      // One of its own: the others have echo servers at the backend's ports.
      const pod = await playground.addPod(node);
      this.#pods.set(side, pod);
      await playground.sysctl(pod.netns, LOAD_SYSCTLS);
      await playground.sysctl(netns, [...LOAD_SYSCTLS, ...NODE_SYSCTLS]);
      for (const address of [...this.pods[side], plain(side)]) {
        await runInside(playground, pod.netns, `ip address add ${address}/32 dev eth0`);
        await runInside(playground, netns, `ip route add ${address} dev ${pod.hostInterface}`);
      }
      for (const pid of processTree(this.agent(side).pid)) await pin(pid, CORES[side]);
    }
    const [first] = this.pods.client;
    const own = `default via 169.254.1.1 dev eth0 onlink src ${first}`;
    const route = `via 169.254.1.1 dev eth0 onlink src ${plain("client")}`;
    const { netns } = this.#pod("client");
    await runInside(playground, netns, `ip route add ${plain("server")}/32 ${route}`);
    await runInside(playground, netns, `ip route replace ${own}`);
    await this.#mesh.served.put(
      "bench-pods",
      SIDES.flatMap((side) => [
        podManifest("plain", side, plain(side)),
        ...this.pods[side].map((address) => podManifest("default", side, address)),
      ]),
    );
    const config = await writeBackendFiles(this.directory);
    const ports = Object.values(STREAM_PORTS).map(String);
    this.#spawnServer(["nginx", "-p", this.directory, "-c", config]);
    this.#spawnServer([...benchProgram("tunnel-stream-program.ts"), "serve", ...ports]);
    await this.#mesh.certified();
    for (const address of [plain("server"), ...this.pods.server]) {
      await this.awaitAnswer({ address, port: BACKEND_PORT });
    }
  }

  agent(side: Side): NodeProcess {
    return this.#mesh.agent(NUMBERS[side]);
  }

  /** The address of the node of a side, where peers listen. */
  nodeAddress(side: Side): string {
    return this.#mesh.served.playground.node(NUMBERS[side]).addresses.ip;
  }

  /** Servers that have identities, as their clients at `pods.client` do. */
  get enrolled(): readonly Target[] {
    return this.pods.server.map((address) => ({ address, port: BACKEND_PORT }));
  }

  /** The same server without an identity, called by a client without one: the kernel's lane. */
  get plain(): Target {
    return { address: plain("server"), port: BACKEND_PORT };
  }

  /** A file that holds one request. */
  get grpcMessagePath(): string {
    return join(this.directory, GRPC_PATH);
  }

  /** Starts a peer on the node of a side; it runs until it is told to end or the stage goes. */
  spawnPeer(side: Side, argv: readonly string[]): ChildProcess {
    const { playground } = this.#mesh.served;
    const { netns } = playground.node(NUMBERS[side]);
    return playground.spawn(netns, pinned(CORES[side], argv), {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }

  /** Starts a program in the client pod, to talk to over its standard streams. */
  spawnClient(argv: readonly string[]): ChildProcess {
    const { netns } = this.#pod("client");
    return this.#mesh.served.playground.spawn(netns, pinned(CORES.client, argv));
  }

  /** Runs a program of the client to its end; it must succeed. @returns its standard output */
  async runClient(argv: readonly string[]): Promise<string> {
    const { netns } = this.#pod("client");
    const { playground } = this.#mesh.served;
    const { code, stdout, stderr } = await playground.exec(netns, pinned(CORES.client, argv));
    assert.equal(code, 0, `${argv.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Waits until the client pod gets an answer there. */
  async awaitAnswer({ address, port }: Target): Promise<void> {
    const { playground } = this.#mesh.served;
    const { netns } = this.#pod("client");
    const argv = ["curl", "--silent", "--max-time", "1", `http://${address}:${port}/`];
    await until(`an answer of ${address}:${port}`, async () => {
      return (await playground.exec(netns, argv)).code === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #pod(side: Side): PlaygroundPod {
    return this.#pods.get(side) ?? assert.fail("the stage is prepared");
  }

  #spawnServer(argv: readonly string[]): void {
    this.#mesh.served.playground.spawn(this.#pod("server").netns, pinned(CORES.server, argv), {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
}

function hosts(side: Side): readonly string[] {
  return Array.from({ length: PODS_EACH }, (_, i) => `10.71.${NUMBERS[side]}.${FIRST_HOST + i}`);
}

function plain(side: Side): string {
  return `10.71.${NUMBERS[side]}.${PLAIN_HOST}`;
}

/** @param namespace `default` gives identities */
function podManifest(namespace: "default" | "plain", side: Side, address: string): Manifest {
  const name = `${side}-${address.split(".").at(-1)}`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, uid: `uid-${name}`, labels: {} },
    spec: { nodeName: `node-${NUMBERS[side]}`, serviceAccountName: side },
    status: { phase: "Running", podIPs: [{ ip: address }] },
  };
}

async function pin(pid: number, core: string): Promise<void> {
  await promisify(execFile)("taskset", ["--all-tasks", "--cpu-list", "--pid", core, String(pid)]);
}

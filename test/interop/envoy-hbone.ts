// Envoy as one end of HBONE: a client in front of plain TCP, or a server.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureEnvoy } from "./envoy-binary.ts";
import {
  type EnvoyClientOptions,
  type EnvoyServerOptions,
  envoyClientConfig,
  envoyServerConfig,
} from "./envoy-hbone-config.ts";
import { PeerProcess } from "./peer-process.ts";

const FLAGS = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"];
const READY = "starting main dispatch loop";

/** One tunnel that ended, as the server logged it. */
export interface EnvoyTunnel {
  readonly authority: string;
  readonly peer: string;
  readonly status: number;
  readonly tls: string;
  /** Bytes from the client. */
  readonly received: number;
}

/** A running Envoy. */
export class Envoy implements AsyncDisposable {
  readonly #process: PeerProcess;
  readonly #directory: string;

  constructor(process: PeerProcess, directory: string) {
    this.#process = process;
    this.#directory = directory;
  }

  /** Tunnels that a server ended, in the order of their ends. */
  tunnels(): readonly EnvoyTunnel[] {
    return this.#process.output.map((line) => JSON.parse(line) as EnvoyTunnel);
  }

  /** Waits until `count` tunnels ended: Envoy writes its log when it likes. */
  async waitForTunnels(count: number): Promise<readonly EnvoyTunnel[]> {
    await this.#process.waitUntil(() => this.#process.output.length >= count);
    return this.tunnels();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Where it runs. */
export interface EnvoyPlace {
  /** @default the caller's namespace */
  readonly netns?: string | undefined;
}

/** Starts a client; it takes connections when this resolves. */
export async function startEnvoyClient(options: EnvoyClientOptions & EnvoyPlace): Promise<Envoy> {
  return start(envoyClientConfig(options), options);
}

/** Starts a server; it takes tunnels when this resolves. */
export async function startEnvoyServer(options: EnvoyServerOptions & EnvoyPlace): Promise<Envoy> {
  return start(envoyServerConfig(options), options);
}

async function start(config: string, place: EnvoyPlace): Promise<Envoy> {
  const program = await ensureEnvoy();
  const directory = await mkdtemp(join(tmpdir(), "innermesh-envoy-"));
  const path = join(directory, "envoy.json");
  await writeFile(path, config);
  const words = [...FLAGS, "--config-path", path];
  const peer = new PeerProcess({ program, words, netns: place.netns });
  const envoy = new Envoy(peer, directory);
  try {
    await peer.waitUntil(() => peer.log.some((line) => line.includes(READY)));
  } catch (error) {
    await envoy[Symbol.asyncDispose]();
    throw error;
  }
  return envoy;
}

// Istio's own HBONE as a client and as a server: ./hbone-peer, a Go program over its package.

import { ensureBinaries } from "../cluster/binaries.ts";
import { PeerProcess } from "./peer-process.ts";
import type { PeerIdentity } from "./peer-identity.ts";

export interface ClientOptions extends PeerIdentity {
  /** `address:port` of the HBONE server. */
  readonly proxy: string;
  /** `address:port` of an echo, the authority of CONNECT. */
  readonly target: string;
  /** Makes it a tunnel in a tunnel: who must be at the end of the inner one. */
  readonly innerPeerId?: string;
  /** Tunnels at the same time on one TLS session. @default 1 */
  readonly streams?: number;
  /** For each, to be echoed. @default 1024 */
  readonly bytes?: number;
  /** Speak TLS 1.2 only. */
  readonly tls12?: boolean;
  readonly netns?: string | undefined;
}

/** What became of one tunnel. */
export interface Exchange {
  /** "" when all that was sent came back. */
  readonly error: string;
  /** CONNECT was answered with 200. */
  readonly opened: boolean;
  readonly received: number;
}

/** Opens tunnels and exchanges bytes through each; resolves when all are closed. */
export async function exchangeByIstio(options: ClientOptions): Promise<readonly Exchange[]> {
  const { "hbone-peer": program } = await ensureBinaries(["hbone-peer"]);
  const { proxy, target, innerPeerId, streams, bytes, netns } = options;
  const flags = { proxy, target, "inner-peer-id": innerPeerId, streams, send: bytes };
  const words = ["client", ...identityWords(options), ...wordsOf(flags)];
  if (options.tls12) words.push("--tls12");
  await using peer = new PeerProcess({ program, words, netns });
  await peer.finish();
  return peer.output.map((line) => JSON.parse(line) as Exchange);
}

export interface ServerOptions extends PeerIdentity {
  /** `address:port`, 0 for any. */
  readonly listen: string;
  /** Where to connect, whatever the authority. @default the authority */
  readonly forwardTo?: string;
  /** End tunnels in tunnels. */
  readonly double?: boolean;
  readonly netns?: string | undefined;
}

/** One CONNECT as the server saw it. */
export interface Arrival {
  readonly authority: string;
  /** The URI that the client proved. */
  readonly peer: string;
  readonly alpn: string;
  readonly tls: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** A running server. */
export class IstioServer implements AsyncDisposable {
  /** `address:port` */
  readonly address: string;
  readonly #process: PeerProcess;

  constructor(address: string, process: PeerProcess) {
    this.address = address;
    this.#process = process;
  }

  arrivals(): readonly Arrival[] {
    return this.#process.output.slice(1).map((line) => JSON.parse(line) as Arrival);
  }

  /** What it complained of. */
  get log(): readonly string[] {
    return this.#process.log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** Starts a server that takes clients of `rootsFile`; resolves when it listens. */
export async function startIstioServer(options: ServerOptions): Promise<IstioServer> {
  const { "hbone-peer": program } = await ensureBinaries(["hbone-peer"]);
  const { listen, forwardTo, double, netns } = options;
  const words = [
    "server",
    ...identityWords(options),
    ...wordsOf({ listen, "forward-to": forwardTo }),
  ];
  if (double) words.push("--double");
  const peer = new PeerProcess({ program, words, netns });
  try {
    await peer.waitUntil(() => peer.output.length > 0);
  } catch (error) {
    await peer[Symbol.asyncDispose]();
    throw error;
  }
  const { listening } = JSON.parse(peer.output[0] ?? "") as { readonly listening: string };
  return new IstioServer(listening, peer);
}

function identityWords({ credential, rootsFile, peerId }: PeerIdentity): string[] {
  const { chainFile: cert, keyFile: key } = credential ?? {};
  return wordsOf({ cert, key, ca: rootsFile, "peer-id": peerId });
}

function wordsOf(flags: Readonly<Record<string, string | number | undefined>>): string[] {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return given.map(([name, value]) => `--${name}=${value}`);
}

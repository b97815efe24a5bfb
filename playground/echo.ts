// Echo servers in pods, as a test sees them. One process serves all the pods of a test: it opens
// each pod's listeners from inside that pod's namespace.

import { fileURLToPath } from "node:url";

import type { Playground } from "./cluster.ts";
import type { EchoCalls, EchoPorts } from "./echo-protocol.ts";
import { LineCaller } from "./line-calls.ts";
import { netnsPath } from "./namespaces.ts";
import type { PlaygroundHost } from "./topology.ts";

/** Where an echo server listens: a pod, or a node for a pod with hostNetwork. */
export type EchoHost = PlaygroundHost & { readonly node?: string };

export const defaultEchoPorts: EchoPorts = { http: [8080], tcp: [9090], udp: [9090] };

/**
 * Starts an echo server in each host; when it resolves, all of them listen. IPv4 and IPv6.
 * @throws PlaygroundError `helper-failed` when a port is taken
 */
export async function startEchoServers(
  playground: Playground,
  hosts: readonly EchoHost[],
  ports: EchoPorts = defaultEchoPorts,
): Promise<EchoServers> {
  const program = fileURLToPath(new URL("./echo-server.ts", import.meta.url));
  // node:ffi would announce itself in every test.
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program];
  const child = playground.spawn(playground.underlay, argv);
  const servers = new EchoServers(new LineCaller(child));
  try {
    await Promise.all(hosts.map((host) => servers.start(host, ports)));
    return servers;
  } catch (error) {
    await servers[Symbol.asyncDispose]();
    throw error;
  }
}

/** The echo servers of a test. Disposing it stops them all. */
export class EchoServers implements AsyncDisposable {
  readonly #caller: LineCaller<EchoCalls>;

  constructor(caller: LineCaller<EchoCalls>) {
    this.#caller = caller;
  }

  /** Starts one more; a host has one at most. */
  async start(host: EchoHost, ports: EchoPorts = defaultEchoPorts): Promise<void> {
    await this.#caller.call("serve", {
      netns: netnsPath(host.netns),
      pod: host.name,
      node: host.node ?? host.name,
      addresses: [host.addresses.ip, host.addresses.ip6],
      ports,
    });
  }

  /** Stops one: its connections break and its ports refuse. Do so before removing its pod. */
  async stop(host: EchoHost): Promise<void> {
    await this.#caller.call("stop", { pod: host.name });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }
}

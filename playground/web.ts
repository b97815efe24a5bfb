// Web peers, as the demo sees them: gRPC and HTTP servers in pods, and a gRPC client.

import { fileURLToPath } from "node:url";
import type { Playground } from "./cluster.ts";
import { LineCaller } from "./line-calls.ts";
import { netnsPath } from "./namespaces.ts";
import type { PlaygroundPod } from "./topology.ts";
import type { UnaryLoad, UnaryReport, WebCalls } from "./web-protocol.ts";

/** Starts a process that serves in any pod's namespace and calls from `netns`. */
export function startWebPeer(playground: Playground, netns: string): WebPeer {
  const program = fileURLToPath(new URL("./web-peer.ts", import.meta.url));
  // node:ffi would announce itself in every run.
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program];
  return new WebPeer(new LineCaller(playground.spawn(netns, argv)));
}

/** One such process. Disposing it ends its servers and calls. */
export class WebPeer implements AsyncDisposable {
  readonly #caller: LineCaller<WebCalls>;

  constructor(caller: LineCaller<WebCalls>) {
    this.#caller = caller;
  }

  /** Answers every unary call with the pod's name. */
  async serveGrpc({ netns, name }: PlaygroundPod, port: number): Promise<void> {
    await this.#caller.call("serve-grpc", { netns: netnsPath(netns), pod: name, port });
  }

  /** Counts HTTP requests and answers 200, unless told otherwise. */
  async serveHttp({ netns, name }: PlaygroundPod, port: number): Promise<void> {
    await this.#caller.call("serve-http", { netns: netnsPath(netns), pod: name, port });
  }

  /** From now on the pod's HTTP server answers so. */
  async answer({ name }: PlaygroundPod, status: number): Promise<void> {
    await this.#caller.call("answer", { pod: name, status });
  }

  /** How many HTTP requests the pod got for a path. */
  requests({ name }: PlaygroundPod, path: string): Promise<number> {
    return this.#caller.call("requests", { pod: name, path });
  }

  /** Calls on one connection, from the namespace that the process runs in. */
  callGrpc(load: UnaryLoad): Promise<UnaryReport> {
    return this.#caller.call("call-grpc", load);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }
}

// A listener on a link of the playground, as the demo sees it: what can be read on the way?

import { fileURLToPath } from "node:url";
import type { Playground } from "./cluster.ts";
import { LineCaller } from "./line-calls.ts";
import type { PlaygroundHost } from "./topology.ts";
import type { WireCalls, WireQuestion, WireReport } from "./wire-protocol.ts";

/** Listens to what a host sends and gets. */
export function listenToWire(playground: Playground, { netns }: PlaygroundHost): Wire {
  const program = fileURLToPath(new URL("./wire-process.ts", import.meta.url));
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program, "eth0"];
  return new Wire(new LineCaller(playground.spawn(netns, argv)));
}

/** One such listener. Disposing it ends it. */
export class Wire implements AsyncDisposable {
  readonly #caller: LineCaller<WireCalls>;

  constructor(caller: LineCaller<WireCalls>) {
    this.#caller = caller;
  }

  /** What passed while something was done. */
  async during(question: WireQuestion, work: () => Promise<unknown>): Promise<WireReport> {
    await this.#caller.call("listen", {});
    await work();
    return this.#caller.call("heard", question);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }
}

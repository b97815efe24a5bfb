// Asks questions of the network from inside a namespace: who answers at this VIP, and how not?

import { fileURLToPath } from "node:url";

import type { Playground } from "./cluster.ts";
import { LineCaller } from "./line-calls.ts";
import type {
  LoadOptions,
  LoadReport,
  LoadRequest,
  ProbeCalls,
  ProbeFailure,
  ProbeOptions,
  ProbeReply,
  ProbeRequest,
  ProbeResult,
  ProbeTarget,
} from "./probe-protocol.ts";

/**
 * Starts the probe process of one namespace. Keep it for as many probes as there are: starting
 * one costs what hundreds of probes cost.
 */
export function openProbe(playground: Playground, netns: string): Probe {
  const program = fileURLToPath(new URL("./probe-process.ts", import.meta.url));
  return new Probe(new LineCaller(playground.spawn(netns, [process.execPath, program])));
}

/** A probe process. Calls may overlap. Disposing it drops its connections and loads. */
export class Probe implements AsyncDisposable {
  readonly #caller: LineCaller<ProbeCalls>;
  #lastLoad = 0;

  constructor(caller: LineCaller<ProbeCalls>) {
    this.#caller = caller;
  }

  /** Tries once. */
  async try(probe: ProbeRequest): Promise<ProbeResult> {
    const [result] = await this.tryMany(probe, 1);
    return result ?? { kind: "failed", code: "no result" };
  }

  /**
   * Tries `count` times.
   * @param parallel how many at a time @default 1
   * @returns in the order of their end
   */
  tryMany(probe: ProbeRequest, count: number, parallel = 1): Promise<readonly ProbeResult[]> {
    return this.#caller.call("probe", { probe, count, parallel });
  }

  /** One TCP connection: the first line that comes. */
  tcp(address: string, port: number, options: ProbeOptions = {}): Promise<ProbeResult> {
    return this.try({ protocol: "tcp", address, port, ...options });
  }

  /** One datagram, one answer. */
  udp(address: string, port: number, options: ProbeOptions = {}): Promise<ProbeResult> {
    return this.try({ protocol: "udp", address, port, ...options });
  }

  /** One GET on a connection of its own. */
  http(address: string, port: number, options: ProbeOptions = {}): Promise<ProbeResult> {
    return this.try({ protocol: "http", address, port, ...options });
  }

  /** Opens a TCP connection to an echo server and keeps it. */
  async open(
    address: string,
    port: number,
    options: ProbeOptions = {},
  ): Promise<OpenConnection | ProbeFailure> {
    const result = await this.#caller.call("open", { protocol: "tcp", address, port, ...options });
    if (result.kind !== "reply") return result;
    return new OpenConnection(this.#caller, result.connection, result);
  }

  /** Starts an open-loop load; many may run at once. */
  startLoad(target: ProbeTarget, options: LoadOptions): RunningLoad {
    return new RunningLoad(this.#caller, ++this.#lastLoad, { ...target, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }
}

/** A connection that a probe process keeps open. */
export class OpenConnection {
  readonly kind = "open";
  /** What the server sent first: which pod it is. */
  readonly greeting: ProbeReply;
  readonly #caller: LineCaller<ProbeCalls>;
  readonly #connection: number;

  constructor(caller: LineCaller<ProbeCalls>, connection: number, greeting: ProbeReply) {
    this.#caller = caller;
    this.#connection = connection;
    this.greeting = greeting;
  }

  /**
   * Sends one line and waits for one; an echo server sends the same. One at a time.
   * @param timeoutMs @default 1000
   */
  say(text: string, timeoutMs = 1000): Promise<ProbeResult> {
    return this.#caller.call("say", { connection: this.#connection, text, timeoutMs });
  }

  /** Closes it with a FIN. */
  async close(): Promise<void> {
    await this.#caller.call("close", { connection: this.#connection });
  }
}

/** A load that has been started. */
export class RunningLoad {
  /** Resolves when its time is over or `stop` was called, and all answers are in or late. */
  readonly done: Promise<LoadReport>;
  readonly #caller: LineCaller<ProbeCalls>;
  readonly #load: number;

  constructor(caller: LineCaller<ProbeCalls>, load: number, options: LoadRequest) {
    this.#caller = caller;
    this.#load = load;
    this.done = caller.call("load", { load, options });
    // Whoever awaits it still sees the error; nobody awaiting it must not end the process.
    this.done.catch(() => {});
  }

  /** Starts no more connections. */
  async stop(): Promise<LoadReport> {
    await this.#caller.call("stop-load", { load: this.#load });
    return this.done;
  }
}

/**
 * Counts who answered: pod names, or the kind of failure. Sorted by key, so that tests can
 * compare the whole.
 */
export function countAnswers(results: readonly ProbeResult[]): Readonly<Record<string, number>> {
  const keys = results.map((result) =>
    result.kind === "reply" ? (result.echo?.pod ?? "other") : result.kind,
  );
  const counts = new Map<string, number>();
  for (const key of keys.toSorted()) counts.set(key, (counts.get(key) ?? 0) + 1);
  return Object.fromEntries(counts);
}

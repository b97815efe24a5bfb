// How a run reaches its agents. The door that suites are written against: pods of a live cluster,
// processes that a test started, and the fake cluster all stand behind it.

import type { Clock } from "../lib/clock/clock.ts";
import type { Agent } from "./agent-identity.ts";
import { ConformanceError } from "./conformance-error.ts";
import { ControlClient, type ControlStream } from "./control-channel.ts";
import { controlVersion } from "./control-protocol.ts";
import type { ProbeRequest, ProbeResult } from "./probe-protocol.ts";

export interface AgentTransport extends AsyncDisposable {
  /** All agents of the run, sorted by name. */
  readonly agents: readonly Agent[];
  /**
   * Probes from an agent.
   * @param count how many tries
   * @param parallel how many of them at a time
   * @returns one result per try, in the order of their end
   * @throws ConformanceError `unreachable` when the agent cannot be asked
   */
  probe(
    agent: Agent,
    probe: ProbeRequest,
    count: number,
    parallel: number,
  ): Promise<readonly ProbeResult[]>;
  /** Makes a pod's readiness probe succeed or fail; the Pod's condition follows later. */
  setReady(agent: Agent, ready: boolean): Promise<void>;
}

/** Opens a byte stream to an agent's control end; rejects when there is none. */
export type OpenControl = (agent: Agent) => Promise<ControlStream>;

export interface StreamTransportOptions {
  readonly agents: readonly Agent[];
  readonly open: OpenControl;
  readonly clock: Clock;
  /** Called after an agent changed its readiness: where no kubelet writes Pod status. */
  readonly onReadiness?: (agent: Agent, ready: boolean) => Promise<void>;
}

/** A whole call, however many tries; a stream that died in silence must not stop a run. */
const callLimitMs = 60_000;

/** Keeps one stream per agent, opened at first use and again after it ended. */
export class StreamTransport implements AgentTransport {
  readonly agents: readonly Agent[];
  readonly #options: StreamTransportOptions;
  readonly #clients = new Map<string, Promise<ControlClient>>();

  constructor(options: StreamTransportOptions) {
    this.#options = options;
    this.agents = options.agents.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async probe(
    agent: Agent,
    probe: ProbeRequest,
    count: number,
    parallel: number,
  ): Promise<readonly ProbeResult[]> {
    const client = await this.#client(agent);
    const call = client.call({ call: "probe", probe, count, parallel });
    const { results } = await this.#within(agent, call);
    return results;
  }

  async setReady(agent: Agent, ready: boolean): Promise<void> {
    const client = await this.#client(agent);
    await this.#within(agent, client.call({ call: "set-ready", ready }));
    await this.#options.onReadiness?.(agent, ready);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    this.#clients.clear();
    for (const client of clients) {
      if (client.status === "fulfilled") client.value[Symbol.dispose]();
    }
  }

  async #client(agent: Agent): Promise<ControlClient> {
    const known = this.#clients.get(agent.name);
    const client = await known?.catch(() => undefined);
    if (client !== undefined && !client.ended) return client;
    // Whoever came first while we waited has replaced it already.
    const current = this.#clients.get(agent.name);
    if (current !== undefined && current !== known) return current;
    const opening = this.#open(agent);
    this.#clients.set(agent.name, opening);
    return opening;
  }

  async #open(agent: Agent): Promise<ControlClient> {
    const stream = await this.#within(agent, this.#options.open(agent));
    const client = new ControlClient(agent.name, stream);
    const { version, name } = await this.#within(agent, client.call({ call: "hello" }));
    if (version === controlVersion && name === agent.name) return client;
    client[Symbol.dispose]();
    const found = `it is "${name}" and speaks version ${version}, not ${controlVersion}`;
    throw unreachable(agent, found);
  }

  async #within<T>(agent: Agent, work: Promise<T>): Promise<T> {
    const finished = new AbortController();
    const late = this.#options.clock.sleep(callLimitMs, finished.signal).then(() => {
      if (finished.signal.aborted) return work;
      throw unreachable(agent, `no answer within ${callLimitMs} ms`);
    });
    try {
      return await Promise.race([work, late]);
    } catch (cause) {
      if (cause instanceof ConformanceError) throw cause;
      throw unreachable(agent, cause instanceof Error ? cause.message : String(cause), cause);
    } finally {
      finished.abort();
    }
  }
}

function unreachable(agent: Agent, why: string, cause?: unknown): ConformanceError {
  const message = `Cannot ask agent "${agent.name}" on node "${agent.node}": ${why}`;
  return new ConformanceError("unreachable", message, { cause });
}

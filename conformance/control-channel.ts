// Both ends of the control channel over any byte stream: a Unix socket, or a Unix socket relayed
// through `pods/exec`. Never the network that a run judges.

import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

import { ConformanceError } from "./conformance-error.ts";
import {
  type ControlReply,
  type ControlRequest,
  parseControlReply,
  parseControlRequest,
  parseJsonLine,
} from "./control-protocol.ts";

export interface ControlStream {
  readonly input: Readable;
  readonly output: Writable;
}

type ReplyTo<Call extends ControlRequest["call"]> = Extract<ControlReply, { readonly call: Call }>;

interface Waiting {
  readonly resolve: (reply: ControlReply) => void;
  readonly reject: (error: ConformanceError) => void;
}

/** The run's end. Calls may overlap; replies find their own. */
export class ControlClient implements Disposable {
  readonly #agent: string;
  readonly #stream: ControlStream;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #ended: ConformanceError | undefined;

  /** @param agent its name, for messages */
  constructor(agent: string, stream: ControlStream) {
    this.#agent = agent;
    this.#stream = stream;
    const lines = createInterface({ input: stream.input });
    lines.on("line", (line) => this.#settle(line));
    lines.on("close", () => this.#end("the connection closed"));
    // readline passes its input's errors on, and an error without a listener ends the process.
    for (const source of [lines, stream.input, stream.output]) {
      source.on("error", (error: Error) => this.#end(error.message));
    }
    if (stream.input.destroyed) this.#end(stream.input.errored?.message ?? "it is closed");
  }

  /** True once the stream has ended: a new client must be opened. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** @throws ConformanceError `unreachable` when the agent refuses, garbles or hangs up */
  async call<Call extends ControlRequest["call"]>(
    request: Extract<ControlRequest, { readonly call: Call }>,
  ): Promise<ReplyTo<Call>> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = ++this.#lastId;
    const answer = new Promise<ControlReply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#stream.output.write(`${JSON.stringify({ id, request })}\n`);
    const reply = await answer;
    if (!isReplyTo(request.call, reply)) throw this.#error(`it answered "${reply.call}"`);
    return reply;
  }

  [Symbol.dispose](): void {
    this.#end("the run ended");
    this.#stream.output.end();
    this.#stream.input.destroy();
  }

  #settle(line: string): void {
    const message = parseJsonLine(line);
    const id = message?.["id"];
    if (typeof id !== "number") return this.#end(`it said "${line.slice(0, 200)}"`);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    const reply = parseControlReply(message?.["reply"]);
    if (reply !== undefined) return waiting?.resolve(reply);
    const said = message?.["error"];
    waiting?.reject(this.#error(typeof said === "string" ? said : "its reply makes no sense"));
  }

  #end(reason: string): void {
    this.#ended ??= this.#error(reason);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }

  #error(reason: string): ConformanceError {
    return new ConformanceError("unreachable", `Cannot ask agent "${this.#agent}": ${reason}`);
  }
}

export type ControlHandler = (request: ControlRequest) => Promise<ControlReply>;

/** The agent's end: answers every line until the stream ends. Never throws. */
export function serveControl({ input, output }: ControlStream, handler: ControlHandler): void {
  const lines = createInterface({ input });
  // A caller that hangs up early has no use for the answer.
  for (const source of [lines, input, output]) source.on("error", () => {});
  lines.on("line", (line) => {
    void answer(line, handler).then((reply) => output.write(`${JSON.stringify(reply)}\n`));
  });
}

async function answer(line: string, handler: ControlHandler): Promise<object> {
  const message = parseJsonLine(line);
  const id = message?.["id"] ?? null;
  const request = parseControlRequest(message?.["request"]);
  if (request === undefined) return { id, error: "this agent does not know such a request" };
  try {
    return { id, reply: await handler(request) };
  } catch (error) {
    return { id, error: String(error) };
  }
}

function isReplyTo<Call extends ControlRequest["call"]>(
  call: Call,
  reply: ControlReply,
): reply is ReplyTo<Call> {
  return reply.call === call;
}

// Remote calls between a test and its helper processes: one JSON object a line over the child's
// stdin and stdout. The child ends when its stdin does, so a crashed parent leaves no helpers.
//
// Both ends come from the same checkout and nobody else holds the pipe: lines are trusted.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

import { PlaygroundError } from "./playground-error.ts";

/** Maps the name of a call to what it takes and gives. */
export type CallShapes<Calls> = {
  readonly [Name in keyof Calls]: { readonly request: object; readonly reply: unknown };
};

interface RequestLine<Calls extends CallShapes<Calls>> {
  readonly id: number;
  readonly call: keyof Calls;
  readonly request: object;
}

type ReplyLine =
  | { readonly id: number; readonly reply: unknown }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: PlaygroundError) => void;
}

/** The parent's end. Calls may overlap; replies find their own. */
export class LineCaller<Calls extends CallShapes<Calls>> implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #ended: PlaygroundError | undefined;

  /** @param child started with pipes for stdin and stdout, running `answerCalls` */
  constructor(child: ChildProcess) {
    const { stdin, stdout } = child;
    assert(stdin !== null && stdout !== null, "a helper needs pipes");
    this.#child = child;
    createInterface({ input: stdout }).on("line", (line) => this.#settle(line));
    stdin.on("error", () => {}); // The exit below tells the story.
    child.on("error", (error) => this.#fail(error.message));
    this.#exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#fail(`it ended with ${signal ?? `exit code ${code}`}`);
        resolve();
      });
    });
  }

  /** @throws PlaygroundError `helper-failed` when the call fails there or the helper ends first */
  call<Name extends keyof Calls>(
    call: Name,
    request: Calls[Name]["request"],
  ): Promise<Calls[Name]["reply"]> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = ++this.#lastId;
    const line: RequestLine<Calls> = { id, call, request };
    this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** Lets the helper end by itself and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.pid !== undefined) await this.#exited;
  }

  #settle(text: string): void {
    const line: ReplyLine = JSON.parse(text);
    const waiting = this.#waiting.get(line.id);
    this.#waiting.delete(line.id);
    if ("error" in line) waiting?.reject(helperFailed(line.error));
    else waiting?.resolve(line.reply);
  }

  #fail(reason: string): void {
    this.#ended ??= helperFailed(reason);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

/** One function for each call. */
export type CallHandlers<Calls extends CallShapes<Calls>> = {
  readonly [Name in keyof Calls]: (
    request: Calls[Name]["request"],
  ) => Calls[Name]["reply"] | Promise<Calls[Name]["reply"]>;
};

/** The child's end: answers calls from stdin until it closes, then ends the process. */
export function answerCalls<Calls extends CallShapes<Calls>>(handlers: CallHandlers<Calls>): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => void answer(handlers, line).then((reply) => console.log(reply)));
  lines.on("close", () => process.exit(0));
}

async function answer<Calls extends CallShapes<Calls>>(
  handlers: CallHandlers<Calls>,
  text: string,
): Promise<string> {
  const { id, call, request }: RequestLine<Calls> = JSON.parse(text);
  try {
    const line: ReplyLine = { id, reply: await handlers[call](request) };
    return JSON.stringify(line);
  } catch (error) {
    const line: ReplyLine = { id, error: String(error) };
    return JSON.stringify(line);
  }
}

function helperFailed(reason: string): PlaygroundError {
  return new PlaygroundError("helper-failed", `Cannot get an answer from a helper: ${reason}`);
}

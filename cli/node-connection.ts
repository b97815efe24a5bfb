// Asks the process that runs on this node, through its UNIX socket.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { AdminAnswer, AdminRequest } from "../service-proxy/model/admin-protocol.ts";
import { Unreachable } from "./exit.ts";

/** A process that is stopped takes connections and says nothing. */
const ANSWER_TIMEOUT_MS = 5_000;

type NodeAnswer = Exclude<AdminAnswer, { readonly kind: "error" }>;

export interface NodeConnection {
  ask(request: AdminRequest): void;
  /** The next answer. @throws Unreachable when the node's process refuses, or is gone */
  next(): Promise<NodeAnswer>;
  close(): void;
}

/** @throws Unreachable */
export async function connectNode(path: string): Promise<NodeConnection> {
  const socket = await open(path);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return {
    ask: (request) => {
      socket.write(`${JSON.stringify(request)}\n`);
    },
    next: async () => {
      const line = await lines.next();
      if (line.done === true) throw new Unreachable("The node's process closed the connection");
      const answer = JSON.parse(line.value) as AdminAnswer;
      if (answer.kind === "error") throw new Unreachable(answer.message);
      return answer;
    },
    close: () => socket.destroy(),
  };
}

/**
 * Asks one question that has one answer.
 * @throws Unreachable when nobody answers in time, or the node's process refuses
 */
export async function askNode<K extends NodeAnswer["kind"]>(
  path: string,
  request: AdminRequest,
  kind: K,
): Promise<Extract<NodeAnswer, { readonly kind: K }>> {
  const node = await connectNode(path);
  const answered = new AbortController();
  const silence = sleep(ANSWER_TIMEOUT_MS, undefined, { signal: answered.signal });
  try {
    node.ask(request);
    const answer = await Promise.race([node.next(), silence]);
    if (answer === undefined) {
      throw new Unreachable(`The node's process says nothing for ${ANSWER_TIMEOUT_MS / 1_000} s`);
    }
    if (isOfKind(answer, kind)) return answer;
    throw new Unreachable("The node's process answers something else");
  } finally {
    answered.abort();
    silence.catch(() => {});
    node.close();
  }
}

function isOfKind<K extends NodeAnswer["kind"]>(
  answer: NodeAnswer,
  kind: K,
): answer is Extract<NodeAnswer, { readonly kind: K }> {
  return answer.kind === kind;
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    const hint = "run this as root on a node where innermesh node runs, or name its --socket";
    throw new Unreachable(`Cannot reach the node's process at ${path} (${why}): ${hint}`);
  }
  // What breaks later ends the lines.
  socket.on("error", () => socket.destroy());
  return socket;
}

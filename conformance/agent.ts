// The agent: an echo server that tells whom it saw, and a prober that is driven over a Unix
// socket. The prober has no network port on purpose: on a node's address it would be an open
// proxy for whoever can reach the node.

import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { pipeline } from "node:stream/promises";
import type { Agent } from "./agent-identity.ts";
import { type ControlHandler, serveControl } from "./control-channel.ts";
import { type ControlReply, type ControlRequest, controlVersion } from "./control-protocol.ts";
import { openEchoes } from "./echo.ts";
import { tryProbe } from "./probe.ts";
import type { ProbeResult } from "./probe-protocol.ts";

export interface AgentOptions extends Agent {
  /** Path of the Unix socket; a stale one is replaced. Only its owner may connect. */
  readonly controlPath: string;
}

/**
 * Serves until `signal` aborts; then every port refuses.
 * @param onListening called once, when all ports and the control socket listen
 * @throws Error from node:net when a port is taken
 */
export async function runAgent(
  options: AgentOptions,
  signal: AbortSignal,
  onListening: () => void = () => {},
): Promise<void> {
  const { name, ports } = options;
  let ready = true;
  using _ = await openEchoes(options);
  const readiness = createHttpServer((_, response) => {
    response.writeHead(ready ? 200 : 503).end();
  });
  const control = controlServer(signal, async (request) => {
    if (request.call === "set-ready") ready = request.ready;
    return answer(name, request);
  });
  const servers: Server[] = ports.ready === undefined ? [control] : [control, readiness];
  try {
    if (ports.ready !== undefined) await listening(readiness.listen(ports.ready));
    rmSync(options.controlPath, { force: true });
    await listening(control.listen(options.controlPath));
    chmodSync(options.controlPath, 0o600);
    onListening();
    await aborted(signal);
  } finally {
    for (const server of servers) server.close();
    readiness.closeAllConnections();
    rmSync(options.controlPath, { force: true });
  }
}

/**
 * Joins standard input and output to a running agent's control socket: what `pods/exec` runs.
 * Resolves when either side has ended.
 */
export async function relayControl(
  controlPath: string,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): Promise<void> {
  const socket = connect(controlPath);
  const inward = pipeline(input, socket);
  const outward = pipeline(socket, output, { end: false });
  await Promise.race([inward.then(() => outward), outward]);
}

/** Does what a request asks, in the network namespace of this process. */
export async function answer(name: string, request: ControlRequest): Promise<ControlReply> {
  switch (request.call) {
    case "hello":
      return { call: "hello", version: controlVersion, name };
    case "set-ready":
      return { call: "set-ready" };
    case "probe":
      return { call: "probe", results: await tryMany(request) };
  }
}

async function tryMany({
  probe,
  count,
  parallel,
}: Extract<ControlRequest, { call: "probe" }>): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  let left = count;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      results.push(await tryProbe(probe));
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, parallel) }, work));
  return results;
}

function controlServer(signal: AbortSignal, handler: ControlHandler): Server {
  return createServer((socket) => {
    socket.on("error", () => {}); // Its lines end with it; whoever called sees that.
    const hangUp = (): void => void socket.destroy();
    signal.addEventListener("abort", hangUp, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", hangUp));
    serveControl({ input: socket, output: socket }, handler);
  });
}

async function listening(server: Server): Promise<void> {
  await once(server, "listening");
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

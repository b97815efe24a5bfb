// The control channel to agents on this machine: their Unix sockets, or the very same process.

import { once } from "node:events";
import { connect } from "node:net";
import { duplexPair } from "node:stream";

import { answer } from "../agent.ts";
import type { Agent } from "../agent-identity.ts";
import type { OpenControl } from "../agent-transport.ts";
import { serveControl } from "../control-channel.ts";

/** Opens an agent's Unix socket. */
export function socketControl(pathOf: (agent: Agent) => string): OpenControl {
  return async (agent) => {
    const socket = connect(pathOf(agent));
    await once(socket, "connect");
    return { input: socket, output: socket };
  };
}

/** Probes from this process: the run itself as the client outside the cluster. */
export const ownControl: OpenControl = ({ name }) => {
  const [near, far] = duplexPair();
  serveControl({ input: far, output: far }, (request) => answer(name, request));
  return Promise.resolve({ input: near, output: near });
};

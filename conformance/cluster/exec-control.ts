// The control channel through the API server: `pods/exec` runs a relay beside the agent, and its
// standard streams carry the lines. The way is API server → kubelet → container; no Service, and
// no packet on the network under test, is part of it.

import { PassThrough } from "node:stream";
import { Exec, type KubeConfig } from "@kubernetes/client-node";

import type { OpenControl } from "../agent-transport.ts";
import { containerName, controlPath, program } from "./agent-pods.ts";

/** Opens a relay into an agent's Pod. */
export function execControl(config: KubeConfig, namespace: string): OpenControl {
  const command = [program, "conformance", "agent", "--relay", `--control=${controlPath}`];
  return async ({ name }) => {
    // The relay may fail before anybody listens: whoever comes then finds the stream destroyed.
    const input = new PassThrough().on("error", () => {});
    const output = new PassThrough();
    const complaints = new PassThrough();
    let told = "";
    complaints.on("data", (bytes: Buffer) => {
      told = `${told}${bytes.toString()}`.slice(-1_000);
    });
    const socket = await new Exec(config).exec(
      namespace,
      name,
      containerName,
      command,
      input,
      complaints,
      output,
      false,
      ({ status, message }) => {
        if (status === "Success") return;
        input.destroy(new Error(`the relay ended: ${message ?? "no reason given"} ${told}`.trim()));
      },
    );
    socket.on("close", () => input.end());
    input.on("close", () => socket.close());
    return { input, output };
  };
}

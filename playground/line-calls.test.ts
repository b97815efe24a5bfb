// Driven with the echo server's own program, in the namespace of the test.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { attempt } from "./attempt.ts";
import type { EchoCalls, EchoIdentity } from "./echo-protocol.ts";
import { LineCaller } from "./line-calls.ts";

const identity: EchoIdentity = {
  pod: "pod-1-1",
  node: "node-1",
  addresses: ["127.0.0.1"],
  ports: { http: [], tcp: [0], udp: [] },
};

function startEcho() {
  const program = fileURLToPath(new URL("./echo-server.ts", import.meta.url));
  const argv = ["--disable-warning=ExperimentalWarning", program];
  const child = spawn(process.execPath, argv, { stdio: ["pipe", "pipe", "inherit"] });
  return { child, caller: new LineCaller<EchoCalls>(child) };
}

test("overlapping calls get their own replies, and a failed one harms no other", async () => {
  await using caller = startEcho().caller;
  const [first, again] = await Promise.allSettled([
    caller.call("serve", identity),
    caller.call("serve", { ...identity, ports: { http: [], tcp: [1, 1], udp: [] } }),
    caller.call("stop", { pod: "nobody" }),
  ]);
  assert(first.status === "fulfilled");
  assert.equal(again.status, "rejected");
  const [port = 0] = first.value.tcp;
  const result = await attempt({ protocol: "tcp", address: "127.0.0.1", port });
  assert(result.kind === "reply");
  assert.equal(result.echo?.pod, "pod-1-1");
});

test("when the helper ends, waiting and later calls fail instead of hanging", async () => {
  const { child, caller } = startEcho();
  const waiting = caller.call("serve", identity);
  child.kill("SIGKILL");
  await assert.rejects(waiting, { code: "helper-failed", message: /SIGKILL/ });
  await assert.rejects(caller.call("stop", { pod: "pod-1-1" }), { code: "helper-failed" });
  await caller[Symbol.asyncDispose]();
});

test("a helper ends by itself when its parent closes the pipe", async () => {
  const { child, caller } = startEcho();
  await caller.call("serve", identity);
  await caller[Symbol.asyncDispose]();
  assert.equal(child.exitCode, 0);
});

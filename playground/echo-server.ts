// Program: serves echoes for the pods that its parent names on stdin (`EchoCalls`, one JSON object
// a line), in each pod's namespace by switching the thread there, or in its own without `netns`.

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";

import { inNetworkNamespace } from "../lib/sys/ffi.ts";
import { type EchoListeners, openEchoListeners } from "./echo-listeners.ts";
import type { EchoCalls, EchoIdentity } from "./echo-protocol.ts";
import { answerCalls } from "./line-calls.ts";

const home = openSync("/proc/self/ns/net", "r");
const serving = new Map<string, EchoListeners>();

answerCalls<EchoCalls>({
  async serve(request) {
    const { pod, netns } = request;
    assert(!serving.has(pod), `${pod} is served already`);
    const listeners = await (netns === undefined
      ? openEchoListeners(request)
      : openInside(netns, request));
    serving.set(pod, listeners);
    return listeners.ports;
  },
  stop({ pod }) {
    serving.get(pod)?.close();
    serving.delete(pod);
    return null;
  },
});

function openInside(netns: string, identity: EchoIdentity): Promise<EchoListeners> {
  const there = openSync(netns, "r");
  try {
    return inNetworkNamespace(there, home, () => openEchoListeners(identity));
  } finally {
    closeSync(there);
  }
}

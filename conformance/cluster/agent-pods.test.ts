// The Pods of a run: where they go, and how little they may do.

import assert from "node:assert/strict";
import { test } from "node:test";

import { agentOf, agentPod, planAgentPods, waitingReason } from "./agent-pods.ts";

test("there are at least three pods, two on the first node, and a host agent on each node", () => {
  const places = (nodes: readonly string[]) =>
    planAgentPods(nodes).map(({ name, node }) => `${name}@${node}`);
  assert.deepEqual(places(["a"]), ["pod-0-a@a", "pod-0-b@a", "pod-0-c@a", "host-0@a"]);
  assert.deepEqual(places(["a", "b"]), [
    "pod-0-a@a",
    "pod-0-b@a",
    "host-0@a",
    "pod-1-a@b",
    "host-1@b",
  ]);
});

test("an agent needs no privilege: no token, no capability, no root, no writable root", () => {
  const { spec } = agentPod({ name: "x", place: "host", node: "a" }, "image", {});
  const [container] = spec?.containers ?? [];
  assert.equal(spec?.automountServiceAccountToken, false);
  assert.equal(spec?.securityContext?.runAsNonRoot, true);
  assert.deepEqual(container?.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  assert.equal(spec?.hostNetwork, true);
  assert.equal(container?.readinessProbe, undefined);
});

test("a pod is an agent once it is ready and has addresses", () => {
  const planned = { name: "x", place: "pod", node: "a" } as const;
  const podIPs = [{ ip: "10.0.0.1" }];
  const ready = (status: string) => ({
    status: { podIPs, conditions: [{ type: "Ready", status }] },
  });
  assert.equal(agentOf(planned, ready("False")), undefined);
  assert.deepEqual(agentOf(planned, ready("True"))?.addresses, ["10.0.0.1"]);
});

test("a pod that does not start says why", () => {
  const state = { waiting: { reason: "ErrImagePull", message: "not found" } };
  const container = { name: "agent", image: "", imageID: "", ready: false, restartCount: 0, state };
  const status = { phase: "Pending", containerStatuses: [container] };
  assert.equal(waitingReason({ status }), "ErrImagePull: not found");
  assert.equal(waitingReason({ status: { phase: "Pending" } }), "Pending");
});

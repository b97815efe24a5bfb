// The file of started agents says what is wrong with it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseAgentsFile } from "./agents-file.ts";

const pod = { name: "a", node: "n", addresses: ["10.0.0.1", "fd00::1"], control: "/run/a.sock" };
const parse = (value: unknown) => parseAgentsFile("f.json", JSON.stringify(value));

test("agents are pods unless they say otherwise, and ports follow their place", () => {
  const host = { ...pod, name: "h", place: "host" };
  const { namespace, agents } = parse({ namespace: "test", agents: [pod, host] });
  assert.equal(namespace, "test");
  assert.deepEqual(
    agents.map(({ place, ports }) => [place, ports.tcp[0]]),
    [
      ["pod", 9090],
      ["host", 28_090],
    ],
  );
});

test("what is missing or wrong is named", () => {
  const refused = (agents: readonly unknown[], why: RegExp) =>
    assert.throws(() => parse({ namespace: "test", agents }), why);
  assert.throws(() => parse({ agents: [pod] }), /needs "namespace"/);
  assert.throws(() => parseAgentsFile("f", "{"), /needs "namespace"/);
  refused([{ ...pod, control: undefined }], /agents\[0\] needs the texts/);
  refused([{ ...pod, place: "moon" }], /in no place/);
  refused([{ ...pod, addresses: ["10.0.0.256"] }], /each an IP address/);
  refused([pod, pod], /same name/);
  refused([{ ...pod, place: "host" }], /no agent is in a pod/);
});

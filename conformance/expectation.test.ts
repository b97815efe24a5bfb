// Judgements tell TIMEOUT, REFUSED and RESET apart and look at whom the server saw.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Agent, agentPorts } from "./agent-identity.ts";
import {
  answeredBy,
  dropped,
  type Expectation,
  formatResults,
  httpStatus,
  judge,
  refused,
  unanswered,
} from "./expectation.ts";
import type { ProbeResult } from "./probe-protocol.ts";

const agents = ["a", "b"].map(
  (name): Agent => ({
    name,
    place: "pod",
    node: "n",
    addresses: ["10.0.0.1"],
    ports: agentPorts.pod,
  }),
);

function reply(pod: string, client = "10.0.0.9", port = 9090): ProbeResult {
  const echo = { pod, node: "n", client, port };
  return { kind: "reply", text: "", echo };
}

const silence: ProbeResult = { kind: "timeout", phase: "connect" };
const hung: ProbeResult = { kind: "timeout", phase: "answer" };
const reset: ProbeResult = { kind: "reset", phase: "answer" };
const refusal: ProbeResult = { kind: "refused" };
const page: ProbeResult = { kind: "reply", text: "ok 3", status: 200 };

const cases: readonly [string, Expectation, readonly ProbeResult[], boolean][] = [
  ["answers of expected pods", answeredBy(agents), [reply("a"), reply("a")], true],
  ["an answer of another pod", answeredBy(agents), [reply("a"), reply("c")], false],
  ["one failure among answers", answeredBy(agents), [reply("a"), silence], false],
  ["nothing at all", answeredBy(agents), [], false],
  ["each pod has answered", answeredBy(agents, { every: true }), [reply("a"), reply("b")], true],
  ["one pod never answered", answeredBy(agents, { every: true }), [reply("a")], false],
  ["always the same", answeredBy(agents, { sameOne: true }), [reply("b"), reply("b")], true],
  ["not the same", answeredBy(agents, { sameOne: true }), [reply("a"), reply("b")], false],
  ["the client's address", answeredBy(agents, { client: "10.0.0.9" }), [reply("a")], true],
  ["masqueraded", answeredBy(agents, { client: "10.0.0.8" }), [reply("a")], false],
  ["not masqueraded", answeredBy(agents, { clientNot: ["10.0.0.9"] }), [reply("a")], false],
  ["another port", answeredBy(agents, { port: 9091 }), [reply("a")], false],
  ["a stranger's answer", answeredBy(agents), [page], false],
  ["refused", refused, [refusal, refusal], true],
  ["dropped is not refused", refused, [silence, silence], false],
  ["silence beside a refusal: ICMP errors are rationed", refused, [silence, refusal], true],
  ["an answer beside a refusal", refused, [reply("a"), refusal], false],
  ["a reset is not refused", refused, [reset], false],
  ["dropped", dropped, [silence], true],
  ["refused is not dropped", dropped, [refusal], false],
  ["accepting and hanging is not dropping", dropped, [hung], false],
  ["any failure", unanswered, [silence, refusal, reset], true],
  ["an answer", unanswered, [silence, reply("a")], false],
  ["a fault of the prober", unanswered, [{ kind: "failed", code: "EADDRINUSE" }], false],
  ["status and words", httpStatus(200, ["3"]), [page], true],
  ["another status", httpStatus(503), [page], false],
  ["words that are not there", httpStatus(200, ["4"]), [page], false],
];

for (const [name, expected, results, holds] of cases) {
  test(`${name}: ${holds ? "holds" : "does not hold"}`, () => {
    assert.equal(judge(expected, "tcp", results) === undefined, holds);
  });
}

test("UDP has no handshake: silence is a drop", () => {
  assert.equal(judge(dropped, "udp", [hung]), undefined);
});

test("the sentence says what was expected and counts what was seen", () => {
  const problem = judge(answeredBy(agents, { client: "10.0.0.8" }), "tcp", [
    reply("a"),
    reply("a"),
    reset,
    refusal,
  ]);
  assert.equal(
    problem,
    "expected REPLY from only a, b, client 10.0.0.8; " +
      "saw REFUSED ×1, REPLY from a (client 10.0.0.9, port 9090) ×2, RESET (answer) ×1",
  );
  assert.equal(formatResults([]), "nothing");
});

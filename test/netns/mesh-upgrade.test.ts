// Agents of nodes with identities are replaced by newer ones, or end and start again, while
// connections are made and last.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Mesh } from "./mesh-rig.ts";
import { FAMILIES } from "./served-node.ts";

const FAR = 1;

describe("upgrades of agents with identities", () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.build();
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.ready();
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  for (const number of [1, 2]) {
    test(`the agent of node-${number} is replaced: nothing is lost, old and new`, async (t) => {
      const held = await Promise.all(
        FAMILIES.flatMap((family) => [
          mesh.open("pod-1-1", mesh.served.address("cluster", FAR, family)),
          mesh.open("pod-1-1", mesh.at("pod-2-1", family)),
          mesh.open("pod-2-2", mesh.at("pod-1-2", family)),
        ]),
      );
      const loads = FAMILIES.flatMap((family) => [
        mesh.load("pod-1-1", mesh.served.address("cluster", FAR, family)),
        mesh.load("pod-1-1", mesh.at("pod-2-1", family)),
        mesh.load("pod-2-2", mesh.at("pod-1-2", family)),
      ]);
      const word = randomBytes(12).toString("hex");
      const wire = await mesh.captured(async () => {
        const done = new AbortController();
        const talking = talk(mesh, word, done.signal);
        await delay(500);
        await mesh.replaceAgent(number);
        await mesh.ready();
        // Workers of an agent that lost its place listen for so long.
        await delay(4_000);
        done.abort();
        await talking;
      });
      for (const connection of held) {
        const answer = await connection.say("still there?", 10_000);
        assert.equal(answer.kind === "reply" && answer.text, "still there?");
        await connection.close();
      }
      const lost = await mesh.lost(loads);
      t.diagnostic(JSON.stringify(lost));
      assert.deepEqual(lost.failures, []);
      assert(!wire.includes(word), "what pods with identities say was readable");
    });
  }
});

/** Says a word on new connections, all the time. */
async function talk(mesh: Mesh, word: string, signal: AbortSignal): Promise<void> {
  const target = mesh.served.address("cluster", FAR, "ip");
  while (!signal.aborted) {
    assert.equal(await mesh.talk("pod-1-1", target, { word }), "pod-2-1 sees pod-1-1");
  }
}

// Agents of nodes with identities are replaced by newer ones, or end and start again, while
// connections are made and last.

import assert from "node:assert/strict";
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
      await delay(500);
      await mesh.replaceAgent(number);
      await mesh.ready();
      await delay(4_000);
      for (const connection of held) {
        const answer = await connection.say("still there?", 10_000);
        assert.equal(answer.kind === "reply" && answer.text, "still there?");
        await connection.close();
      }
      const reports = await Promise.all(loads.map((load) => load.stop()));
      for (const { started, failed, failures } of reports) {
        t.diagnostic(`${failed} of ${started} lost: ${JSON.stringify(failures.slice(0, 3))}`);
      }
      assert.deepEqual(
        reports.map(({ failed }) => failed),
        [0, 0, 0, 0, 0, 0],
      );
    });
  }
});

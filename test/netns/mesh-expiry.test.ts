// Certificates run out and no next ones can be had: everything closes, and opens again when they
// can (faults F39, F40).

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { makeShortRoot } from "./mesh-leaf.ts";
import { Mesh, newRoot, TRUST_DOMAIN } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const FAR = 1;
const LIFE_MS = 25_000;

test("F39, F40: what expires is not used any more, and nothing goes in plaintext for it", async () => {
  const endMs = Date.now() + LIFE_MS;
  await using mesh = await Mesh.build({ material: makeShortRoot(TRUST_DOMAIN, endMs) });
  await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
  await mesh.ready();
  const held = await mesh.open("pod-1-1", mesh.at("pod-2-1", "ip"));
  const words = [randomBytes(12).toString("hex"), randomBytes(12).toString("hex")] as const;
  const wire = await mesh.captured(async () => {
    await until("the end of a connection that was open", async () => {
      const answer = await held.say(words[0], 2_000);
      return answer.kind !== "reply" && answer.kind !== "timeout";
    });
    assert(Date.now() > endMs - 2_000, "before its time");
    await until("the end of all certificates", () => Date.now() > endMs + 1_000);
    for (const family of FAMILIES) {
      for (const target of [
        mesh.at("pod-2-1", family),
        mesh.served.address("cluster", FAR, family),
      ]) {
        const answer = await mesh.talk("pod-1-1", target, { word: words[1], timeoutMs: 1_000 });
        assert(!answer.includes("sees"), answer);
      }
    }
  });
  assert.deepEqual(
    words.map((word) => wire.includes(word)),
    [false, false],
  );
  await mesh.putAuthority(newRoot());
  await mesh.ready();
});

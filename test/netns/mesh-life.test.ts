// Identities come, change and go while connections are made: none is lost, and no pod gets what was
// another's.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { OpenConnection, RunningLoad } from "../../playground/probe.ts";
import { makeLeaf } from "./mesh-leaf.ts";
import { Mesh, TRUST_DOMAIN } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const FAR = 1;
const SOAK = process.env["INNERMESH_SOAK"] === "1";
const CYCLES = SOAK ? 1_000 : 20;

describe("the life of an identity", () => {
  let mesh: Mesh;
  const loads: RunningLoad[] = [];
  before(async () => {
    mesh = await Mesh.build();
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.ready();
  });
  afterEach(async () => {
    await Promise.all(loads.splice(0).map((load) => load.stop()));
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  /** Whether what the pods say can be read on the link. */
  async function isReadable(): Promise<boolean> {
    const word = randomBytes(12).toString("hex");
    const wire = await mesh.captured(async () => {
      await mesh.talk("pod-1-1", mesh.at("pod-2-1", "ip"), { word });
    });
    return wire.includes(word);
  }

  function start(): void {
    for (const family of FAMILIES) {
      loads.push(mesh.load("pod-1-1", mesh.served.address("cluster", FAR, family)));
      loads.push(mesh.load("pod-1-1", mesh.at("pod-2-1", family)));
    }
  }

  test("a namespace leaves the mesh: no connection is lost", async (t) => {
    start();
    await delay(500);
    await mesh.enrol("off");
    await until("plaintext", isReadable);
    await delay(1_000);
    const lost = await mesh.lost(loads);
    t.diagnostic(`${lost.failures.length} of ${lost.started} lost`);
    assert.deepEqual(lost.failures, []);
  });

  test("a namespace joins the mesh: no connection is lost", async (t) => {
    start();
    await delay(500);
    await mesh.enrol("permissive");
    await until("tunnels", async () => !(await isReadable()));
    await delay(1_000);
    const lost = await mesh.lost(loads);
    t.diagnostic(`${lost.failures.length} of ${lost.started} lost`);
    assert.deepEqual(lost.failures, []);
  });

  test(`F15: an address gets another identity ${CYCLES} times: nobody inherits`, async () => {
    await mesh.ready();
    const caller = makeLeaf(mesh.material, identityOf("pod-1-2"));
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      const account = `account-${cycle % 3}`;
      const there = await mesh.open("pod-1-1", mesh.at("pod-2-1", "ip"));
      const back = await mesh.open("pod-2-1", mesh.at("pod-1-1", "ip6"));
      await mesh.putPods({ "pod-2-1": { serviceAccount: account, uid: `uid-${cycle}` } });
      await until(`the end of what was the former pod's`, async () => {
        return (await isOver(there)) && (await isOver(back));
      });
      let shown = "";
      // Nobody answers before the new pod has a certificate.
      await until("the new pod's certificate", async () => {
        shown = (await mesh.stranger("pod-1-2", "pod-2-1", "ip", caller)).identity;
        return shown !== "";
      });
      assert.equal(shown, identityOf(account));
      await mesh.hears("pod-1-1", mesh.at("pod-2-1", "ip"), "pod-2-1 sees pod-1-1");
      await mesh.hears("pod-2-1", mesh.at("pod-1-1", "ip6"), "pod-1-1 sees pod-2-1");
    }
  });
});

function identityOf(serviceAccount: string): string {
  return `spiffe://${TRUST_DOMAIN}/ns/default/sa/${serviceAccount}`;
}

async function isOver(connection: OpenConnection): Promise<boolean> {
  const answer = await connection.say("still there?", 2_000);
  return answer.kind !== "reply" && answer.kind !== "timeout";
}

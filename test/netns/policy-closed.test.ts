// Closed ports stay closed when nobody is left to decide: agents that are frozen and workers that
// are dead let not one segment through, though all pods are permissive.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import type { MeshTarget } from "./mesh-rig.ts";
import {
  accountPolicy,
  callers,
  FRONTS,
  IDENTITY_LANE,
  L4_LANE,
  PODS,
  PolicyMesh,
  SERVER,
} from "./policy-mesh.ts";
import { FAMILIES, until } from "./served-node.ts";

const NODES = [1, 2] as const;
const HTTP_PORT = 8080;

for (const cni of ["routed", "bridge"] as const) {
  describe(`closed ports without workers, ${cni} pods`, () => {
    let rig: PolicyMesh;
    before(async () => {
      rig = await PolicyMesh.build({ cni });
      // Deny closes this port alone, and isolates nobody.
      await rig.hold(accountPolicy({ action: "Deny", ...callers("batch") }));
      await rig.serves(...FRONTS);
    });
    after(() => rig?.[Symbol.asyncDispose]());

    function targets(family: Family): readonly MeshTarget[] {
      const { mesh } = rig;
      const { served } = mesh;
      return [
        mesh.at(SERVER, family),
        served.address("cluster", IDENTITY_LANE, family),
        served.address("cluster", L4_LANE, family),
        served.address("balancer", IDENTITY_LANE, family),
        ...NODES.map((node) => mesh.nodePort(node, IDENTITY_LANE, family)),
      ];
    }

    /** Everybody tries everything but what the server's own node may. */
    async function nothingPasses(): Promise<void> {
      const calls = FAMILIES.flatMap((family) => [
        ...PODS.flatMap((from) => targets(family).map((target) => ({ from, target }))),
        { from: "node-1", target: rig.mesh.at(SERVER, family) },
        ...NODES.map((node) => ({
          from: "client",
          target: rig.mesh.nodePort(node, IDENTITY_LANE, family),
        })),
      ]);
      const before = await rig.received(SERVER);
      const asked = calls.map(async ({ from, target }) => {
        const { address, port } = target;
        const answer = await rig.ask(from, target);
        const datagram = await rig.mesh.served.probe(from).udp(address, port, { timeoutMs: 500 });
        assert.notEqual(datagram.kind, "reply", `${from} at ${address} over UDP`);
        assert.notEqual(answer, SERVER, `${from} at ${address}`);
      });
      await Promise.all(asked);
      assert.deepEqual(await rig.received(SERVER), before);
    }

    /** What no rule is about, and the node's own probes, need no worker. */
    async function restPasses(): Promise<void> {
      for (const family of FAMILIES) {
        const { address } = rig.mesh.at(SERVER, family);
        assert.equal(await rig.ask("node-2", rig.mesh.at(SERVER, family)), SERVER);
        const answer = await rig.mesh.served.probe(FRONTS[0]).http(address, HTTP_PORT);
        assert.equal(answer.kind === "reply" && answer.echo?.pod, SERVER, JSON.stringify(answer));
      }
    }

    function killWorkers(): void {
      for (const node of NODES) {
        const workers = rig.mesh.agent(node).workers();
        assert(workers.length > 0, `no worker on node-${node}`);
        for (const pid of workers) process.kill(pid, "SIGKILL");
      }
    }

    /** Nobody starts other workers. */
    function freeze(): void {
      for (const node of NODES) process.kill(rig.mesh.agent(node).pid, "SIGSTOP");
    }

    /** The kernel forgets workers that do not tell that they live. */
    async function workersAreMissed(): Promise<void> {
      await until("that workers are missed", async () => {
        const answer = await rig.mesh.served
          .probe(FRONTS[0])
          .http(rig.mesh.at(SERVER, "ip").address, HTTP_PORT);
        return answer.kind === "reply";
      });
    }

    test("all workers are killed, agents frozen: not one segment reaches the server", async () => {
      freeze();
      try {
        killWorkers();
        await nothingPasses();
        await workersAreMissed();
        await nothingPasses();
        await restPasses();
      } finally {
        for (const node of NODES) process.kill(rig.mesh.agent(node).pid, "SIGCONT");
      }
    });

    test("agents that go on start other workers", async () => {
      await rig.serves(...FRONTS);
    });

    test("workers and agents are killed: nothing passes, and new ones heal it", async () => {
      freeze();
      killWorkers();
      for (const node of NODES) await rig.mesh.agent(node).kill();
      await nothingPasses();
      for (const node of rig.mesh.served.playground.nodes) await rig.mesh.startAgent(node);
      await rig.serves(...FRONTS);
    });
  });
}

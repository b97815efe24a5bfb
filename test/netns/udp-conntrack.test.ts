// UDP clients that never change their port (fault F34): conntrack remembers where the first datagram
// went, so what changed must be forgotten. TCP is never touched.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import type { ProbeResult } from "../../playground/probe-protocol.ts";
import type { Entry, Sender } from "../../service-proxy/plan/packet-cases.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

/** From the change of the objects to the first datagram that goes the new way. */
const LIMIT_MS = 2_000;
const DRAINING = { ready: false, serving: true, terminating: true };
const STOPPED = { ready: false, serving: false, terminating: true };

/** One flow: who sends by which entry point. */
interface Flow {
  readonly from: Sender;
  readonly entry: Entry;
  readonly family: Family;
}

const FLOWS: readonly Flow[] = FAMILIES.flatMap((family) => [
  { from: "pod-1-1", entry: "cluster", family } as const,
  { from: "node-1", entry: "cluster", family } as const,
  { from: "client", entry: "nodePort", family } as const,
  { from: "client", entry: "balancer", family } as const,
  { from: "client", entry: "external", family } as const,
]);

describe("UDP flows that go on when their Service changes", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.start();
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Sends one datagram of a flow: the same five-tuple every time. */
  async function send(number: number, flow: Flow): Promise<ProbeResult> {
    const { address, port } = rig.address(flow.entry, number, flow.family);
    // A port for each Service and way: flows must not share an entry.
    const sourcePort = 20_000 + number * 10 + FLOWS.indexOf(flow);
    return rig.probe(flow.from).udp(address, port, { sourcePort, timeoutMs: 200 });
  }

  const podOf = (result: ProbeResult): string =>
    result.kind === "reply" ? (result.echo?.pod ?? "") : result.kind;

  /** Sends all flows of a Service until each ends as it should. @returns the slowest one's time */
  async function all(number: number, expected: string, flows = FLOWS): Promise<number> {
    const times = flows.map((flow) => {
      const what = `${expected} for ${flow.from} → ${flow.entry} (${flow.family})`;
      return until(what, async () => podOf(await send(number, flow)) === expected, LIMIT_MS);
    });
    return Math.max(...(await Promise.all(times)));
  }

  /** What conntrack holds of the flows of a Service. */
  async function entries(number: number): Promise<string[]> {
    const texts = await Promise.all(
      ["ipv4", "ipv6"].map((family) => rig.run("conntrack", "-L", "-f", family, "-p", "udp")),
    );
    const ports = new Set(FLOWS.map((_, index) => 20_000 + number * 10 + index));
    const lines = texts.flatMap((text) => text.split("\n"));
    // The first of the two is the sender's.
    return lines.filter((line) => ports.has(Number(/ sport=(\d+) /.exec(line)?.[1])));
  }

  describe("under a running agent", { concurrency: true }, () => {
    test("a replaced endpoint", async (t) => {
      await rig.serve({ number: 1, pods: ["pod-1-2"] });
      await all(1, "pod-1-2");
      await rig.serve({ number: 1, pods: ["pod-2-1"] });
      t.diagnostic(`all at the new endpoint after ${(await all(1, "pod-2-1")).toFixed(0)} ms`);
      await rig.serve({ number: 1, pods: ["pod-1-2"] });
      t.diagnostic(`and back after ${(await all(1, "pod-1-2")).toFixed(0)} ms`);
      for (const line of await entries(1))
        assert.ok(!line.includes(rig.pods[2]?.addresses.ip ?? ""));
    });

    test("the last endpoint goes: refused; and comes again: served", async () => {
      await rig.serve({ number: 2, pods: ["pod-1-2"] });
      await all(2, "pod-1-2");
      await rig.serve({ number: 2, pods: [] });
      await all(2, "refused");
      assert.deepEqual(await entries(2), []);
      await rig.serve({ number: 2, pods: ["pod-2-2"] });
      await all(2, "pod-2-2");
    });

    test("a deleted Service", async () => {
      await rig.serve({ number: 3, pods: ["pod-1-2"] });
      await all(3, "pod-1-2");
      await rig.unserve(3);
      const nodePorts = FLOWS.filter(({ entry }) => entry === "nodePort");
      const clusterIps = FLOWS.filter(({ entry }) => entry === "cluster");
      await all(3, "refused", nodePorts);
      await all(3, "timeout", clusterIps);
      // Only its node itself still tracks what it answers for itself.
      assert.deepEqual(
        (await entries(3)).filter((line) => line.includes("10.71.")),
        [],
      );
    });

    test("flows that began before their Service was there", async () => {
      const strangers = FLOWS.filter(({ from }) => from === "client");
      for (const flow of strangers) assert.notEqual((await send(4, flow)).kind, "reply");
      const before = await entries(4);
      assert.ok(before.length >= 2, "untranslated flows are tracked");
      await rig.serve({ number: 4, pods: ["pod-1-2"] });
      await all(4, "pod-1-2", strangers);
    });

    test("a change of the port that pods listen on", async () => {
      await rig.serve({ number: 5, pods: ["pod-1-2"] });
      await all(5, "pod-1-2");
      const [service, ...slices] = rig.manifests({ number: 5, pods: ["pod-1-2"] });
      const moved = slices.map((slice) => ({
        ...slice,
        ports: [{ name: "udp", protocol: "UDP", port: 1 }],
      }));
      await rig.put("service-5", [service ?? assert.fail(), ...moved]);
      await all(5, "refused");
    });

    test("an endpoint that terminates keeps its flows while it serves, and no longer", async () => {
      await rig.serve({ number: 6, pods: ["pod-1-2"] });
      await all(6, "pod-1-2");
      await rig.serve({ number: 6, pods: [{ pod: "pod-1-2", conditions: DRAINING }, "pod-2-1"] });
      await until("new flows elsewhere", async () => {
        const { address, port } = rig.address("cluster", 6, "ip6");
        return podOf(await rig.probe("pod-1-1").udp(address, port)) === "pod-2-1";
      });
      const kept = Array.from({ length: 8 }, () => all(6, "pod-1-2"));
      for (const round of kept) await round;
      await rig.serve({ number: 6, pods: [{ pod: "pod-1-2", conditions: STOPPED }, "pod-2-1"] });
      await all(6, "pod-2-1");
    });

    test("an unchanged Service keeps its flows, whatever others do", async () => {
      await rig.serve({ number: 7, pods: ["pod-1-2", "pod-2-1", "pod-2-2", "pod-1-1"] });
      await until(
        "the Service",
        async () => podOf(await send(7, FLOWS[0] ?? assert.fail())) !== "refused",
      );
      const before = await Promise.all(FLOWS.map(async (flow) => podOf(await send(7, flow))));
      await rig.serve({ number: 8, pods: ["pod-1-2"] });
      await all(8, "pod-1-2");
      await rig.serve({ number: 8, pods: ["pod-2-1"] });
      await all(8, "pod-2-1");
      for (let round = 0; round < 3; round++) {
        const now = await Promise.all(FLOWS.map(async (flow) => podOf(await send(7, flow))));
        assert.deepEqual(now, before);
      }
    });

    test("a TCP connection to an endpoint that was taken out goes on, all others choose anew", async () => {
      await rig.serve({ number: 9, pods: ["pod-1-2"] });
      await all(9, "pod-1-2");
      const connections = await Promise.all(
        FLOWS.map(async ({ from, entry, family }) => {
          const { address, port } = rig.address(entry, 9, family);
          const connection = await rig.probe(from).open(address, port);
          return connection.kind === "open" ? connection : assert.fail(JSON.stringify(connection));
        }),
      );
      await rig.serve({ number: 9, pods: ["pod-2-1"] });
      await all(9, "pod-2-1");
      for (const connection of connections) {
        const answer = await connection.say("still there?");
        assert.equal(answer.kind === "reply" && answer.text, "still there?");
      }
      await rig.unserve(9);
      await all(
        9,
        "timeout",
        FLOWS.filter(({ entry }) => entry === "cluster"),
      );
      for (const connection of connections) {
        assert.equal((await connection.say("even now?")).kind, "reply");
      }
    });
  });

  test("what changed while no agent ran is forgotten at its start", async () => {
    await rig.serve({ number: 10, pods: ["pod-1-2"] });
    await rig.serve({ number: 11, pods: ["pod-1-2"] });
    await rig.serve({ number: 12, pods: ["pod-1-2"] });
    for (const number of [10, 11, 12]) await all(number, "pod-1-2");
    await rig.agent.kill();
    await rig.serve({ number: 10, pods: ["pod-2-1"] });
    await rig.serve({ number: 11, pods: [] });
    await rig.unserve(12);
    for (const number of [10, 11, 12]) await all(number, "pod-1-2");
    await rig.start();
    const clusterIps = FLOWS.filter(({ entry }) => entry === "cluster");
    await Promise.all([all(10, "pod-2-1"), all(11, "refused"), all(12, "timeout", clusterIps)]);
  });
});

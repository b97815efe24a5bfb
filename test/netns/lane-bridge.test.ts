// The lanes' entry with real packets, pods on a bridge that br_netfilter watches: what most
// clusters with flannel have. TPROXY alone cannot work there.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import type { Entry } from "../../service-proxy/plan/packet-cases.ts";
import { answerOf, LaneRig } from "./lane-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

/** An endpoint on the client's own bridge, and one on the other node. */
const NEAR = { number: 1, pods: ["pod-1-2"] } as const;
const FAR = { number: 2, pods: ["pod-2-1"] } as const;

const ARRIVALS: readonly (readonly [from: string, entry: Entry, side: "inside" | "outside"])[] = [
  ["pod-1-1", "cluster", "inside"],
  ["pod-1-2", "cluster", "inside"],
  ["pod-1-1", "nodePort", "inside"],
  ["pod-1-1", "external", "inside"],
  ["node-1", "cluster", "outside"],
  ["client", "nodePort", "outside"],
  ["client", "balancer", "outside"],
];

for (const [name, flags] of [
  ["by address", []],
  ["by bridge", ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"]],
] as const) {
  describe(`lanes, bridged pods known ${name}`, () => {
    let rig: LaneRig;
    before(async () => {
      rig = await LaneRig.build({ cni: "bridge" }, [NEAR, FAR], { flags });
      await rig.move("in", 1);
      await until("the lift", () => isLifted(rig));
    });
    after(() => rig[Symbol.asyncDispose]());

    for (const family of FAMILIES) {
      test(`${family}: connections from everywhere arrive`, async () => {
        const answers = ARRIVALS.map(([from, entry]) => rig.ask(from, entry, 1, family));
        assert.deepEqual(
          await Promise.all(answers),
          ARRIVALS.map(([, , side]) => side),
        );
      });

      test(`${family}: what is no lane's stays as it was`, async () => {
        const pod = rig.served.playground.node(1).pods[1]?.addresses[family] ?? "";
        const direct = await rig.served.probe("pod-1-1").tcp(pod, BACKEND_PORT);
        assert.equal(answerOf(direct), "pod-1-2");
        assert.equal(await rig.ask("pod-1-1", "cluster", 2, family), "pod-2-1");
      });

      test(`${family}: an endpoint on the same bridge sees the client's address`, async () => {
        const { address } = rig.served.address("cluster", 1, family);
        const pod = rig.served.playground.node(1).pods[1]?.addresses[family] ?? "";
        await rig.listener.call("relay", { address, to: pod, port: BACKEND_PORT });
        const connection = await rig.open("pod-1-1", "cluster", 1, family);
        const { echo } = connection.greeting;
        assert.deepEqual(
          [echo?.pod, echo?.client],
          ["pod-1-2", rig.served.playground.node(1).pods[0]?.addresses[family]],
        );
        const said = await connection.say("x".repeat(100_000), 3_000);
        assert(said.kind === "reply", said.kind);
        await connection.close();
        await rig.revive();
      });

      test(`${family}: whatever the reverse path filters say`, async () => {
        const { playground, node } = rig.served;
        for (const [filter, mark] of [
          [1, 1],
          [2, 1],
          [1, 0],
          [0, 0],
        ]) {
          await playground.sysctl(node.netns, [
            `net.ipv4.conf.all.rp_filter=${filter}`,
            `net.ipv4.conf.cni0.rp_filter=${filter}`,
            `net.ipv4.conf.*.src_valid_mark=${mark}`,
          ]);
          const answers = ARRIVALS.map(([from, entry]) => rig.ask(from, entry, 1, family));
          const sides = ARRIVALS.map(([, , side]) => side);
          assert.deepEqual(await Promise.all(answers), sides, `rp_filter ${filter}, mark ${mark}`);
        }
      });
    }

    test("without a worker connections go on in the kernel lane", async () => {
      await rig.killListener();
      for (const family of FAMILIES) {
        for (const [from, entry] of ARRIVALS) {
          if (from === "node-1" || from === "pod-1-2") continue;
          assert.equal(await rig.ask(from, entry, 1, family), "pod-1-2", `${from} → ${entry}`);
        }
      }
      await rig.revive();
    });

    test("a pod that comes later is lifted as well", async () => {
      const pod = await rig.served.playground.addPod(rig.served.node);
      await until("its port", async () => {
        const listed = await rig.served.run("nft", "list", "table", "netdev", "innermesh");
        return listed.includes(pod.hostInterface);
      });
      for (const family of FAMILIES) {
        assert.equal(await rig.ask(pod.name, "cluster", 1, family), "inside");
      }
      await rig.served.playground.removePod(pod);
      await until("its port's end", async () => {
        const listed = await rig.served.run("nft", "list", "table", "netdev", "innermesh");
        return !listed.includes(pod.hostInterface);
      });
      assert.equal(await rig.ask("pod-1-1", "cluster", 1, "ip"), "inside");
    });

    test("without lanes there is nothing: no links, no tables", async () => {
      await rig.move("out", 1);
      await until("the end of the lift", async () => !(await isLifted(rig)));
      const links = await rig.served.run("ip", "-br", "link");
      assert(!/\bim[01]\b/.test(links), links);
      await rig.move("in", 1);
      await until("the lift", () => isLifted(rig));
    });

    test("F37: what was made is removed without a trace", async () => {
      const removed = await rig.agent.call("remove", {});
      assert.equal(removed.length, 13, removed.join("\n"));
      assert.equal(await rig.routes(), "");
      assert.equal((await rig.served.run("nft", "list", "tables")).trim(), "");
      const links = await rig.served.run("ip", "-br", "link");
      assert(!/\bim[01]\b/.test(links), links);
    });
  });
}

async function isLifted(rig: LaneRig): Promise<boolean> {
  const tables = await rig.served.run("nft", "list", "tables");
  return tables.includes("table netdev innermesh");
}

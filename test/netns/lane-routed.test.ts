// The lanes' entry with real packets, pods on routed veths. A program of the test stands in for
// the proxy's worker: `inside` and `outside` are its two ports.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import type { OpenConnection } from "../../playground/probe.ts";
import type { ProbeReply } from "../../playground/probe-protocol.ts";
import { DEFAULT_LANE } from "../../service-proxy/plan/lane-marks.ts";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import type { Entry } from "../../service-proxy/plan/packet-cases.ts";
import { answerOf, LaneRig } from "./lane-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const BRIEF = { timeoutMs: 400 } as const;
/** Without a heartbeat. */
const LAPSE_MS = 3_000;
/** Less than that, and enough to look on a busy machine. */
const SOON_MS = 2_000;
const PODS_FIRST = { ip: "10.71.1.2", ip6: "fd71:0:0:1::2" } as const;

const WEB = { number: 1, pods: ["pod-2-1"] } as const;
const RANGED = {
  number: 2,
  pods: ["pod-2-1"],
  spec: { loadBalancerSourceRanges: ["10.71.1.2/32", "fd71:0:0:1::2/128"] },
} as const;

const ARRIVALS: readonly (readonly [from: string, entry: Entry, side: "inside" | "outside"])[] = [
  ["pod-1-1", "cluster", "inside"],
  ["pod-1-1", "nodePort", "inside"],
  ["pod-1-1", "balancer", "inside"],
  ["node-1", "cluster", "outside"],
  ["node-1", "external", "outside"],
  ["client", "cluster", "outside"],
  ["client", "nodePort", "outside"],
  ["client", "balancer", "outside"],
];

describe("lanes, routed pods", () => {
  let rig: LaneRig;
  before(async () => {
    rig = await LaneRig.build({}, [WEB, RANGED]);
    await rig.move("in", 1);
    await rig.move("in", 2);
  });
  after(() => rig[Symbol.asyncDispose]());

  for (const family of FAMILIES) {
    test(`${family}: connections from everywhere arrive with both addresses kept`, async () => {
      await Promise.all(
        ARRIVALS.map(async ([from, entry, side]) => {
          const result = await rig.try(from, entry, 1, family);
          assert(result.kind === "reply", `${from} → ${entry}: ${result.kind}`);
          assert.deepEqual(whom(result), whomExpected(rig, from, entry, side, family));
        }),
      );
    });

    test(`${family}: a host process stays in the kernel lane for its own NodePort`, async () => {
      assert.equal(await rig.ask("node-1", "nodePort", 1, family), "pod-2-1");
    });

    test(`${family}: only TCP comes into the lane`, async () => {
      const { address, port } = rig.served.address("cluster", 1, family);
      const result = await rig.served.probe("pod-1-1").udp(address, port);
      assert.equal(answerOf(result), "pod-2-1");
    });

    test(`${family}: a load balancer's source ranges hold in the lane`, async () => {
      const ask = (from: string): Promise<string> => rig.ask(from, "balancer", 2, family, BRIEF);
      assert.deepEqual(await Promise.all(["pod-1-1", "pod-1-2", "node-1", "client"].map(ask)), [
        "inside",
        "timeout",
        "timeout",
        "timeout",
      ]);
      assert.equal(await rig.ask("client", "nodePort", 2, family), "outside");
    });

    test(`${family}: live flows stay in their lane when their Service moves`, async () => {
      await rig.move("out", 1);
      const senders = ["pod-1-1", "node-1", "client"] as const;
      const open = (): Promise<OpenConnection[]> =>
        Promise.all(senders.map((from) => rig.open(from, "cluster", 1, family)));
      const before = await open();
      await rig.move("in", 1);
      const during = await open();
      await saysBack(before);
      await rig.move("out", 1);
      await saysBack([...before, ...during]);
      assert.deepEqual(
        [before, during].map((list) => list.map(({ greeting }) => answerOf(greeting))),
        [
          ["pod-2-1", "pod-2-1", "pod-2-1"],
          ["inside", "outside", "outside"],
        ],
      );
      await Promise.all([...before, ...during].map((connection) => connection.close()));
      await rig.move("in", 1);
    });

    test(`${family}: an answer to a masqueraded flow is not taken for a NodePort's`, async () => {
      const port = rig.served.address("nodePort", 1, family).port;
      const node = rig.served.node.addresses[family];
      const nft = (command: string): Promise<string> =>
        rig.served.run("nft", ...command.split(" "));
      const table = `${family} im-snat`;
      await nft(`add table ${table}`);
      await nft(`add chain ${table} c { type nat hook postrouting priority 90 ; }`);
      const target = family === "ip" ? `${node}:${port}` : `[${node}]:${port}`;
      await nft(`add rule ${table} c oifname eth0 meta l4proto tcp snat to ${target}`);
      const pod = rig.served.playground.node(2).pods[0]?.addresses[family] ?? assert.fail("no pod");
      const result = await rig.served.probe("pod-1-1").tcp(pod, BACKEND_PORT);
      await nft(`delete table ${table}`);
      assert(result.kind === "reply", result.kind);
      assert.deepEqual([result.echo?.client, result.echo?.clientPort], [node, port]);
    });

    test(`${family}: whatever the reverse path filters say`, async () => {
      for (const filter of [0, 1, 2]) {
        for (const mark of [0, 1]) {
          await rig.served.playground.sysctl(rig.served.node.netns, [
            `net.ipv4.conf.*.rp_filter=${filter}`,
            `net.ipv4.conf.*.src_valid_mark=${mark}`,
          ]);
          const answers = ARRIVALS.map(([from, entry]) => rig.ask(from, entry, 1, family));
          const sides = ARRIVALS.map(([, , side]) => side);
          assert.deepEqual(await Promise.all(answers), sides, `rp_filter ${filter}, mark ${mark}`);
        }
      }
      await rig.served.playground.sysctl(rig.served.node.netns, [
        "net.ipv4.conf.*.rp_filter=0",
        "net.ipv4.conf.*.src_valid_mark=0",
      ]);
    });

    test(`${family}: a narrow link on the way to the endpoint is no black hole`, async () => {
      const [pod] = rig.served.playground.node(2).pods;
      assert(pod !== undefined);
      const { address } = rig.served.address("cluster", 1, family);
      const mtu = (bytes: number): Promise<string> =>
        run2(rig, `ip link set ${pod.hostInterface} mtu ${bytes}`);
      await mtu(1_280);
      await rig.listener.call("relay", {
        address,
        to: pod.addresses[family],
        port: BACKEND_PORT,
      });
      const connection = await rig.open("pod-1-1", "cluster", 1, family);
      assert.equal(connection.greeting.echo?.client, PODS_FIRST[family]);
      const text = "x".repeat(60_000);
      const said = await connection.say(text, 5_000);
      assert(said.kind === "reply", said.kind);
      assert.equal(said.text.trim().length, text.length);
      await connection.close();
      await mtu(1_500);
      await rig.revive();
    });
  }

  test("who dies costs features, not connections: pods and outside at once", async () => {
    await rig.killListener();
    for (const family of FAMILIES) {
      for (const [from, entry] of ARRIVALS) {
        const isHost = from === "node-1";
        // Conntrack has settled a host process's flow by then: it is told at once, until the
        // heart stops.
        const expected = isHost ? "refused" : "pod-2-1";
        assert.equal(await rig.ask(from, entry, 1, family), expected, `${from} → ${entry}`);
      }
    }
    await rig.agent.call("beat", { healthy: false });
    await until("the lapse", async () => (await rig.aliveWord()) === "dead", SOON_MS);
    for (const family of FAMILIES) {
      assert.equal(await rig.ask("node-1", "cluster", 1, family), "pod-2-1");
    }
    await rig.revive();
    await rig.beat();
    for (const family of FAMILIES) {
      assert.equal(await rig.ask("node-1", "cluster", 1, family), "outside");
    }
  });

  test("a frozen heart lets the lanes lapse within three seconds", async () => {
    rig.freezeAgent("SIGSTOP");
    try {
      const lapsedMs = await until("the lapse", async () => (await rig.aliveWord()) === "dead");
      assert(lapsedMs < LAPSE_MS + SOON_MS, `${lapsedMs} ms`);
      for (const family of FAMILIES) {
        for (const [from, entry] of ARRIVALS) {
          assert.equal(await rig.ask(from, entry, 1, family), "pod-2-1", `${from} → ${entry}`);
        }
      }
    } finally {
      rig.freezeAgent("SIGCONT");
    }
    await rig.beat();
    for (const family of FAMILIES) {
      assert.equal(await rig.ask("pod-1-1", "cluster", 1, family), "inside");
    }
  });

  test("routes and rules that somebody removed come back with the next beats", async () => {
    const state = (): Promise<string> => rig.routes();
    const whole = await state();
    for (const family of ["-4", "-6"]) {
      for (const preference of [98, 99, 100]) {
        await rig.served.run("ip", family, "rule", "del", "pref", String(preference));
      }
      await rig.served.run("ip", family, "route", "flush", "table", "1000");
    }
    assert.notEqual(await state(), whole);
    await until("the routes", async () => (await state()) === whole);
  });

  test("F37: what was made is removed without a trace", async () => {
    const removed = await rig.agent.call("remove", {});
    assert.equal(removed.length, 10, removed.join("\n"));
    assert.equal(await rig.routes(), "");
    assert.equal((await rig.served.run("nft", "list", "tables")).trim(), "");
  });
});

describe("lanes that must not be left", () => {
  test("without a worker connections are refused at once instead of going round the lane", async () => {
    const lane = { ...DEFAULT_LANE, onDead: "refuse" } as const;
    await using rig = await LaneRig.build({}, [WEB], { lane });
    await rig.move("in", 1);
    await rig.killListener();
    for (const family of FAMILIES) {
      for (const [from, entry] of ARRIVALS) {
        assert.equal(await rig.ask(from, entry, 1, family), "refused", `${from} → ${entry}`);
      }
    }
    await rig.agent.call("beat", { healthy: false });
    await until("the lapse", async () => (await rig.aliveWord()) === "dead", SOON_MS);
    for (const family of FAMILIES) {
      for (const [from, entry] of ARRIVALS) {
        if (from === "node-1") continue;
        assert.equal(await rig.ask(from, entry, 1, family), "refused", `${from} → ${entry}`);
      }
    }
  });
});

/** Every connection still echoes. */
async function saysBack(connections: readonly OpenConnection[]): Promise<void> {
  const replies = await Promise.all(connections.map((connection) => connection.say("still here")));
  for (const reply of replies) {
    assert(reply.kind === "reply", reply.kind);
    assert.equal(reply.text.trim(), "still here");
  }
}

function run2(rig: LaneRig, line: string): Promise<string> {
  return rig.runOn(2, ...line.split(" "));
}

/** What an answer says about the way of the connection. */
function whom({ echo, localPort }: ProbeReply): unknown {
  const isSamePort = echo?.clientPort === localPort;
  return { side: echo?.node, client: echo?.client, local: echo?.local, isSamePort };
}

function whomExpected(
  { served }: LaneRig,
  from: string,
  entry: Entry,
  side: string,
  family: Family,
): unknown {
  const { client, nodes } = served.playground;
  const sender = [client, ...nodes, ...served.pods].find(({ name }) => name === from);
  const { address, port } = served.address(entry, 1, family);
  const local = family === "ip" ? `${address}:${port}` : `[${address}]:${port}`;
  return { side, client: sender?.addresses[family], local, isSamePort: true };
}

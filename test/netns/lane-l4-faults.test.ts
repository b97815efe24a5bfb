// Faults of the L4 lane with real packets: calls to the proxy's own ports, too few descriptors and
// ports, endpoints that refuse, reset or vanish.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { OpenConnection } from "../../playground/probe.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import { DEFAULT_LANE } from "../../service-proxy/plan/lane-marks.ts";
import { BACKEND_PORT, type Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { TCP_ACK, tcpFrame } from "./raw-frame.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const PEER = fileURLToPath(new URL("./lane-l4-peer.ts", import.meta.url));
const FLOOD = fileURLToPath(new URL("./datagram-flood.ts", import.meta.url));
const RAW_FRAME = fileURLToPath(new URL("./raw-frame.ts", import.meta.url));
/** What every routed veth of the playground has at the node's end. */
const ROUTER_MAC = "ee:ee:ee:ee:ee:ee";
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
const NEAR = 1;
const FAR = 2;
const DOWN = 3;
const RESETS = 4;
/** Its endpoint is its own ClusterIP. */
const ROUND = 5;
/** Well below the 5 s after which an endpoint that does not answer is given up. */
const AT_ONCE_MS = 3_000;
const DAWDLED_BYTES = 32 << 20;
const CLOCK_TICKS_PER_SECOND = 100;
const LOOPBACK = { ip: "127.0.0.1", ip6: "::1" } as const;

describe("faults of the L4 lane", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build({ nodes: 2, podsPerNode: 4 });
    for (const name of ["pod-1-3", "pod-2-3", "pod-2-4"]) await rig.echo.stop(pod(name));
    await rig.serve(
      { number: NEAR, pods: ["pod-1-2"] },
      { number: FAR, pods: ["pod-2-1"] },
      { number: DOWN, pods: ["pod-1-3", "pod-2-3"] },
      { number: RESETS, pods: ["pod-2-4"] },
    );
    await rig.put("round", round());
    const words = [...NODE, PEER, "serve", String(BACKEND_PORT), "reset"];
    const peer = rig.playground.spawn(pod("pod-2-4").netns, words, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert(peer.stdout !== null);
    await once(peer.stdout, "data");
    const agent = await rig.start("--proxy-mode=userspace", "--proxy-workers=1");
    await agent.proxying();
    await until("the lane", async () => (await rig.run("ss", "-Hltn")).includes(":15001"));
  });
  after(() => rig[Symbol.asyncDispose]());

  function pod(name: string): PlaygroundPod {
    return rig.pods.find((one) => one.name === name) ?? assert.fail(name);
  }

  function round(): readonly Manifest[] {
    const [service, ...slices] = rig.manifests({ number: ROUND, pods: ["pod-1-2"] });
    const turned = slices.map((slice, i) => {
      const { address } = rig.address("cluster", ROUND, i === 0 ? "ip" : "ip6");
      const ports = [{ name: "tcp", protocol: "TCP", port: 80 }];
      return { ...slice, ports, endpoints: [{ addresses: [address] }] };
    });
    assert(service !== undefined);
    return [service, ...turned];
  }

  function workerPid(): number {
    const line = rig.agent.log.findLast((one) => one.includes("proxy worker starts")) ?? "";
    return Number(/pid[="\s:]+(\d+)/.exec(line)?.[1] ?? assert.fail(line));
  }

  /** Of one CPU, over two seconds. */
  async function workerLoad(): Promise<number> {
    const ticks = (): number => {
      const fields = readFileSync(`/proc/${workerPid()}/stat`, "utf8").split(" ");
      return Number(fields[13]) + Number(fields[14]);
    };
    const before = ticks();
    await delay(2_000);
    return (ticks() - before) / CLOCK_TICKS_PER_SECOND / 2;
  }

  async function opened(from: string, number: number, family: "ip" | "ip6" = "ip") {
    const { address, port } = rig.address("cluster", number, family);
    const connection = await rig.probe(from).open(address, port, { timeoutMs: 3_000 });
    assert(connection instanceof OpenConnection, JSON.stringify(connection));
    return connection;
  }

  /** How many bytes come back to a client of the near Service that reads late. */
  async function dawdled(bytes: number, pauseMs: number): Promise<number> {
    const { address, port } = rig.address("cluster", NEAR, "ip");
    const words = ["dawdle", address, String(port), String(bytes), String(pauseMs)];
    const argv = [...NODE, PEER, ...words];
    const { stdout, stderr } = await rig.playground.exec(pod("pod-1-1").netns, argv, {
      timeoutMs: 60_000,
    });
    assert.equal(stderr, "");
    return Number(stdout);
  }

  for (const family of FAMILIES) {
    test(`${family}: the proxy's own ports serve nobody, and call nobody (T4)`, async () => {
      const open = (await rig.run("ss", "-Htn")).split("\n").length;
      const callers = [
        ["pod-1-1", rig.node.addresses[family]],
        ["client", rig.node.addresses[family]],
        ["node-2", rig.node.addresses[family]],
        ["node-1", rig.node.addresses[family]],
        ["node-1", LOOPBACK[family]],
      ] as const;
      for (const port of [DEFAULT_LANE.portInside, DEFAULT_LANE.portOutside]) {
        for (const [from, address] of callers) {
          const { kind } = await rig.probe(from).tcp(address, port);
          assert(["refused", "reset", "closed"].includes(kind), `${from} → ${address}: ${kind}`);
        }
      }
      assert((await rig.run("ss", "-Htn")).split("\n").length < open + 20);
      assert((await workerLoad()) < 0.5);
    });

    test(`${family}: a Service whose endpoint is its own address does not go round (T4)`, async () => {
      const { address, port } = rig.address("cluster", ROUND, family);
      const open = (await rig.run("ss", "-Htn")).split("\n").length;
      for (const from of ["pod-1-1", "client", "node-1"]) {
        const { kind } = await rig.probe(from).tcp(address, port, { timeoutMs: 400 });
        assert.notEqual(kind, "reply");
      }
      assert((await rig.run("ss", "-Htn")).split("\n").length < open + 20);
      assert((await workerLoad()) < 0.5);
    });

    test(`${family}: with all endpoints down a client is refused quickly`, async () => {
      const { address, port } = rig.address("cluster", DOWN, family);
      for (const from of ["pod-1-1", "client"]) {
        const startMs = performance.now();
        const { kind } = await rig.probe(from).tcp(address, port, { timeoutMs: 5_000 });
        assert(["refused", "reset"].includes(kind), kind);
        assert(performance.now() - startMs < AT_ONCE_MS);
      }
    });

    test(`${family}: an endpoint's reset reaches the client as one`, async () => {
      const { address, port } = rig.address("cluster", RESETS, family);
      const { kind } = await rig.probe("pod-1-1").http(address, port);
      assert.equal(kind, "reset");
    });
  }

  for (const family of FAMILIES) {
    test(`${family}: a packet out of window reaches no client, and resets nobody (F35)`, async () => {
      const connection = await opened("pod-1-1", FAR, family);
      const { clientPort = 0 } = connection.greeting.echo ?? {};
      const [client, backend] = [pod("pod-1-1"), pod("pod-2-1")];
      const frame = tcpFrame({
        destinationMac: ROUTER_MAC,
        source: backend.addresses[family],
        sourcePort: BACKEND_PORT,
        destination: client.addresses[family],
        destinationPort: clientPort,
        sequence: 0x1234_5678,
        acknowledgement: 0x8765_4321,
        flags: TCP_ACK,
        payload: "intruder",
      });
      const argv = [...NODE, RAW_FRAME, "eth0", frame.toString("hex")];
      assert.equal((await rig.playground.exec(backend.netns, argv)).code, 0);
      const answer = await connection.say("still there?");
      assert.equal(answer.kind === "reply" && answer.text, "still there?");
      await connection.close();
    });
  }

  test("ports run out towards one endpoint: its clients are told at once, others served (F29)", async () => {
    const range = (await rig.run("sysctl", "-n", "net.ipv4.ip_local_port_range")).trim();
    await rig.playground.sysctl(rig.node.netns, ["net.ipv4.ip_local_port_range=40000 40100"]);
    const { address, port } = rig.address("nodePort", FAR, "ip");
    const kept: OpenConnection[] = [];
    const failures: string[] = [];
    for (let i = 0; i < 120; i++) {
      const startMs = performance.now();
      const result = await rig.probe("client").open(address, port, { timeoutMs: 5_000 });
      if (result instanceof OpenConnection) kept.push(result);
      else failures.push(result.kind);
      assert(performance.now() - startMs < AT_ONCE_MS);
    }
    assert(kept.length >= 90 && failures.length >= 19, `${kept.length} and ${failures.length}`);
    assert.deepEqual(
      failures.filter((kind) => kind !== "reset" && kind !== "refused"),
      [],
    );
    const other = rig.address("nodePort", NEAR, "ip");
    const answer = await rig.probe("client").tcp(other.address, other.port);
    assert.equal(answer.kind, "reply", JSON.stringify(answer));
    for (const connection of kept) await connection.close();
    await rig.playground.sysctl(rig.node.netns, [`net.ipv4.ip_local_port_range=${range}`]);
    const again = await rig.probe("client").tcp(address, port);
    assert.equal(again.kind, "reply", "no endpoint was blamed");
  });

  test("descriptors run out: no busy loop, connections live on, and new ones come later (F27)", async () => {
    const first = await opened("pod-1-1", NEAR);
    await rig.run("prlimit", "--nofile=256:4096", "--pid", String(workerPid()));
    const { address, port } = rig.address("cluster", NEAR, "ip");
    const many = Array.from({ length: 200 }, () =>
      rig.probe("pod-1-1").open(address, port, { timeoutMs: 1_500 }),
    );
    const results = await Promise.all(many);
    assert(
      results.some(({ kind }) => kind !== "open"),
      "the limit was met",
    );
    assert((await workerLoad()) < 0.5);
    const answer = await first.say("still there?");
    assert.equal(answer.kind === "reply" && answer.text, "still there?");
    for (const one of results) if (one instanceof OpenConnection) await one.close();
    const connects = async (): Promise<boolean> =>
      (await rig.probe("pod-1-1").tcp(address, port)).kind === "reply";
    await until("a new connection", connects);
    await rig.run("prlimit", "--nofile=4096:4096", "--pid", String(workerPid()));
  });

  test("the table of connections is full: connections live on, and new ones come (F28)", async (t) => {
    const connection = await opened("client", FAR);
    const limit = Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_max", "utf8"));
    const links = await rig.run("ip", "-j", "link", "show", "eth0");
    const [link] = JSON.parse(links) as readonly { readonly address: string }[];
    const { client } = rig.playground;
    const where = ["eth0", link?.address ?? "", client.addresses.ip, "10.71.2.250"];
    const argv = [...NODE, FLOOD, ...where, String(Math.ceil(limit * 1.05))];
    const startMs = performance.now();
    const flood = await rig.playground.exec(client.netns, argv, { timeoutMs: 60_000 });
    assert.equal(flood.code, 0, flood.stderr);
    t.diagnostic(`${limit} flows in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    const answer = await connection.say("still there?", 5_000);
    assert.equal(answer.kind === "reply" && answer.text, "still there?");
    const { address, port } = rig.address("cluster", FAR, "ip");
    const connects = async (): Promise<boolean> =>
      (await rig.probe("client").tcp(address, port)).kind === "reply";
    await until("a new connection", connects);
    await connection.close();
  });

  test("who vanished is found within 30 s, idle or not (F33); who only reads slowly is kept", async () => {
    // At the same time, as both take half a minute.
    const slow = dawdled(DAWDLED_BYTES, 32_000);
    const [idle, busy] = [await opened("pod-1-1", FAR), await opened("pod-1-1", FAR)];
    const { netns } = pod("pod-2-1");
    const rules =
      "add table inet gone; add chain inet gone in { type filter hook prerouting priority -400; policy drop; }";
    assert.equal((await rig.playground.exec(netns, ["nft", rules])).code, 0);
    assert.equal((await busy.say("lost", 100)).kind, "timeout");
    const upstream = async (): Promise<number> => {
      const words = ["-Htn", "state", "established", "dst", pod("pod-2-1").addresses.ip];
      return (await rig.run("ss", ...words)).split("\n").filter(Boolean).length;
    };
    assert.equal(await upstream(), 2);
    await until("both to be given up", async () => (await upstream()) === 0, 40_000);
    for (const one of [idle, busy]) {
      const { kind } = await one.say("hello?");
      assert(kind === "reset" || kind === "closed", kind);
    }
    assert((await slow) > DAWDLED_BYTES, "a slow reader was taken for one that vanished");
  });
});

// A leg between the proxy and an endpoint whose MTU is smaller than both ends know (F31): with the
// ICMP that says so, and where somebody drops it. The leg is a route of the endpoint's node, with a
// locked MTU: too large packets are answered, not lost in a device.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { OpenConnection } from "../../playground/probe.ts";
import { measured } from "./fault-rig.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

/** Both sides hear of packets that are too large. */
const TOLD = 1;
/** Nobody does. */
const BLACK_HOLE = 2;
const ENDPOINTS = { [TOLD]: "pod-2-1", [BLACK_HOLE]: "pod-2-2" };
/** The least that IPv6 allows. */
const NARROW = ["mtu", "lock", "1280"];
const TEXT = "0123456789abcdef".repeat(1 << 16);
const LIMIT_MS = 15_000;
/** The kernel probes after three timeouts, each twice the one before (tcp_retries1). */
const PROBING_LIMIT_MS = 60_000;
const DROP_ICMP =
  "add table inet blackhole; " +
  "add chain inet blackhole output { type filter hook output priority 0; }; " +
  "add rule inet blackhole output icmp type destination-unreachable drop; " +
  "add rule inet blackhole output icmpv6 type packet-too-big drop";

describe("a leg of MTU 1280 behind the L4 lane", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build({ nodes: 2, podsPerNode: 2 });
    await rig.serve(
      { number: TOLD, pods: [ENDPOINTS[TOLD]] },
      { number: BLACK_HOLE, pods: [ENDPOINTS[BLACK_HOLE]] },
    );
    const agent = await rig.start("--proxy-mode=userspace", "--proxy-workers=1");
    await agent.proxying();
    await until("the lane", async () => (await rig.run("ss", "-Hltn")).includes(":15001"));
  });
  after(() => rig[Symbol.asyncDispose]());

  async function onFarNode(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await rig.playground.exec(rig.playground.node(2).netns, argv);
    assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** What the far node forwards by one of its devices is narrow from here on. */
  async function narrow(device: string): Promise<void> {
    for (const version of ["-4", "-6"]) {
      const routes = await onFarNode("ip", version, "route", "show", "dev", device);
      for (const line of routes.split("\n").filter((one) => one.trim() !== "")) {
        if (line.startsWith("fe80::") || line.startsWith("multicast")) continue;
        const words = line.trim().split(/\s+/);
        await onFarNode("ip", version, "route", "change", ...words, "dev", device, ...NARROW);
      }
    }
  }

  function deviceOf(service: keyof typeof ENDPOINTS): string {
    const pod = rig.pods.find(({ name }) => name === ENDPOINTS[service]) ?? assert.fail();
    return pod.hostInterface;
  }

  /** 1 MiB there and back. @returns how long it took */
  async function echoed(
    from: string,
    service: keyof typeof ENDPOINTS,
    family: (typeof FAMILIES)[number],
    limitMs: number,
  ): Promise<number> {
    const { address, port } = rig.address("cluster", service, family);
    const connection = await rig.probe(from).open(address, port, { timeoutMs: 5_000 });
    assert(connection instanceof OpenConnection, JSON.stringify(connection));
    const startMs = performance.now();
    const answer = await connection.say(TEXT, limitMs);
    assert(answer.kind === "reply" && answer.text === TEXT, `${from}: ${answer.kind}`);
    await connection.close();
    return performance.now() - startMs;
  }

  /** As `echoed`, from a pod and from outside, in both families, side by side. */
  async function everywhere(
    service: keyof typeof ENDPOINTS,
    limitMs: number,
  ): Promise<Readonly<Record<string, number>>> {
    const paths = FAMILIES.flatMap((family) =>
      ["pod-1-1", "client"].map(async (from) => {
        return [`${family} ${from}`, await echoed(from, service, family, limitMs)] as const;
      }),
    );
    return Object.fromEntries(await Promise.all(paths));
  }

  test("without the ICMP errors 1 MiB reaches the endpoint by probing (F31)", async () => {
    assert.equal((await rig.run("sysctl", "-n", "net.ipv4.tcp_mtu_probing")).trim(), "1");
    await onFarNode("nft", DROP_ICMP);
    // Towards the endpoint only: in what it sends, its own stack would have to probe.
    await narrow(deviceOf(BLACK_HOLE));
    const spentMs = await everywhere(BLACK_HOLE, PROBING_LIMIT_MS);
    measured("1 MiB towards the endpoint, without ICMP", spentMs);
    assert(Math.min(...Object.values(spentMs)) > 1_000, "probing was needed");
    await onFarNode("nft", "delete table inet blackhole");
  });

  test("1 MiB crosses it both ways, for pods and for clients from outside (F31)", async () => {
    await narrow(deviceOf(TOLD));
    await narrow("eth0");
    measured("1 MiB both ways, told by ICMP", await everywhere(TOLD, LIMIT_MS));
    // Both ways were narrow indeed.
    const names = ["IcmpOutDestUnreachs", "Icmp6OutPktTooBigs"];
    const sent = await onFarNode("nstat", "-asz", ...names);
    for (const name of names) {
      assert(Number(new RegExp(`${name}\\s+(\\d+)`).exec(sent)?.[1]) > 0, sent);
    }
  });
});

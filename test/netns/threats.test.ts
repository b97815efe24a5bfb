// What a hostile Service or EndpointSlice may ask for, and does not get: other people's addresses
// (T13), the node's own inside (T14), and loopback from outside (T15). Counted in packets.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { countAnswers } from "../../playground/probe.ts";
import type { ProbeTarget } from "../../playground/probe-protocol.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import type { Sender } from "../../service-proxy/plan/packet-cases.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const SENDERS: readonly Sender[] = ["pod-1-1", "node-1", "client"];
const ECHO_PORT = 9090;
const METADATA = "169.254.169.254";
const TRIES = 8;

describe("a hostile Service", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    // The node itself answers too: on loopback, on its addresses and as the metadata service.
    await rig.echo.start(rig.node);
    await rig.run("ip", "address", "add", `${METADATA}/32`, "dev", "lo");
    await rig.start();
  });
  afterEach(async () => {
    await rig.put("evil", []);
    await until("all quiet", async () => (await problems()) === 0);
  });
  after(() => rig[Symbol.asyncDispose]());

  async function problems(): Promise<number> {
    const { body } = await rig.agent.get(10249, "/metrics");
    return Number(/^innermesh_object_problems (\d+)$/m.exec(body)?.[1]);
  }

  /** A Service that claims addresses on ports of its choice, and sends all to pod-1-2. */
  function claim(addresses: readonly string[], ports: readonly number[]): Manifest[] {
    const spec = {
      externalIPs: addresses,
      ports: ports.flatMap((port) =>
        ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
      ),
    };
    const [service, ...slices] = rig.manifests({ number: 66, pods: ["pod-1-2"], spec });
    const ingress = addresses.map((ip) => ({ ip }));
    return [{ ...service, status: { loadBalancer: { ingress } } }, ...slices];
  }

  /** Sends to an address from everywhere. @returns who answered, or how nobody did */
  async function ask(address: string, port: number): Promise<Readonly<Record<string, number>>> {
    const results = SENDERS.flatMap((sender) =>
      (["tcp", "udp"] as const).map((protocol) => {
        const target: ProbeTarget = { protocol, address, port };
        return rig.probe(sender).tryMany({ ...target, timeoutMs: 300 }, TRIES, 4);
      }),
    );
    return countAnswers((await Promise.all(results)).flat());
  }
  const EVERY_TRY = SENDERS.length * 2 * TRIES;

  test("the ClusterIP of another Service stays with its owner, used ports and unused", async () => {
    await rig.serve({ number: 1, pods: ["pod-2-1"] });
    for (const family of FAMILIES) {
      const { address, port } = rig.address("cluster", 1, family);
      await rig.put("evil", claim([address], [port, 8443]));
      await until("a problem", async () => (await problems()) > 0);
      assert.deepEqual(await ask(address, port), { "pod-2-1": EVERY_TRY });
      assert.deepEqual(await ask(address, 8443), { refused: EVERY_TRY });
    }
    const told = rig.agent.log.filter((line) => line.includes("is the ClusterIP of a Service"));
    assert.ok(told.length > 0);
    await rig.unserve(1);
  });

  test("whoever claimed it first: a new Service gets its ClusterIP at once", async () => {
    await rig.remove("cluster"); // Without a ServiceCIDR the address looks free.
    const { address, port } = rig.address("cluster", 2, "ip");
    await rig.put("evil", claim([address], [port]));
    await until("the claim", async () => "pod-1-2" in (await ask(address, port)));
    await rig.serve({ number: 2, pods: ["pod-2-1"] });
    const isOwned = async () => (await ask(address, port))["pod-2-1"] === EVERY_TRY;
    await until("the owner", isOwned);
    await rig.unserve(2);
    await rig.putCluster();
  });

  test("an unused address of the ServiceCIDR is not for claiming", async () => {
    const { address } = rig.address("unallocated", 1, "ip");
    await rig.put("evil", claim([address], [80]));
    await until("a problem", async () => (await problems()) > 0);
    assert.deepEqual(await ask(address, 80), { timeout: EVERY_TRY });
  });

  test("the node's own addresses stay its own", async () => {
    for (const family of FAMILIES) {
      const address = rig.node.addresses[family];
      await rig.put("evil", claim([address], [ECHO_PORT]));
      await until("a problem", async () => (await problems()) > 0);
      assert.deepEqual(await ask(address, ECHO_PORT), { "node-1": EVERY_TRY });
    }
  });

  test("an address that the node gets later is its own from then on", async () => {
    const address = "203.0.113.200";
    await rig.put("evil", claim([address], [ECHO_PORT]));
    await until("the claim", async () => "pod-1-2" in (await ask(address, ECHO_PORT)));
    await rig.run("ip", "address", "add", `${address}/32`, "dev", "lo");
    const isOwn = async (): Promise<boolean> => !("pod-1-2" in (await ask(address, ECHO_PORT)));
    await until("the node's own", isOwn);
    await rig.run("ip", "address", "delete", `${address}/32`, "dev", "lo");
  });

  test("the API server's address stays its own", async () => {
    const server = rig.pods.find(({ name }) => name === "pod-2-2") ?? assert.fail();
    const name = "kubernetes";
    const api = FAMILIES.map((family) => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        namespace: "default",
        name: `${name}-${family}`,
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: family === "ip" ? "IPv4" : "IPv6",
      ports: [{ name: "https", protocol: "TCP", port: ECHO_PORT }],
      endpoints: [{ addresses: [server.addresses[family]] }],
    }));
    await rig.put("api", api);
    for (const family of FAMILIES) {
      const address = server.addresses[family];
      await rig.put("evil", claim([address], [ECHO_PORT]));
      await until("a problem", async () => (await problems()) > 0);
      assert.deepEqual(await ask(address, ECHO_PORT), { "pod-2-2": EVERY_TRY });
    }
    await rig.remove("api");
  });

  test("the address of a pod stays the pod's, on ports of a Service, too", async () => {
    const victim = rig.pods.find(({ name }) => name === "pod-2-1") ?? assert.fail();
    for (const family of FAMILIES) {
      const address = victim.addresses[family];
      await rig.put("evil", claim([address], [ECHO_PORT]));
      await until("a problem", async () => (await problems()) > 0);
      assert.deepEqual(await ask(address, ECHO_PORT), { "pod-2-1": EVERY_TRY });
    }
    assert.ok(rig.agent.log.some((line) => line.includes("where pods have their addresses")));
  });

  test("loopback, link-local, unspecified and multicast addresses are not for claiming", async () => {
    const addresses = [
      "127.0.0.1",
      METADATA,
      "0.0.0.0",
      "224.0.0.1",
      "::1",
      "fe80::1",
      "::",
      "ff02::1",
    ];
    await rig.put("evil", claim(addresses, [80]));
    await until("problems", async () => (await problems()) >= addresses.length);
    for (const family of FAMILIES) {
      const vips = await rig.elements(family, "vips");
      assert.deepEqual(
        vips.filter((vip) => addresses.some((address) => vip.startsWith(`${address} `))),
        [],
      );
    }
  });

  test("endpoints inside a node, or at its metadata service, get no packet", async () => {
    for (const [family, inside] of [
      ["ip", ["127.0.0.1", "127.1.2.3", METADATA, "0.0.0.0", "224.0.0.1", "255.255.255.255"]],
      ["ip6", ["::1", "fe80::1", "::", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"]],
    ] as const) {
      const { address, port } = rig.address("cluster", 3, family);
      for (const good of [[], ["pod-2-1"]] as const) {
        const manifests = rig.manifests({ number: 3, pods: good });
        await rig.put(
          "evil",
          manifests.map((object) => withEndpoints(object, family, inside)),
        );
        const expected = good.length === 0 ? "refused" : "pod-2-1";
        // All of them: a single UDP answer may still ride on a flow of before.
        await until(expected, async () => (await ask(address, port))[expected] === EVERY_TRY);
        const nodePort = rig.address("nodePort", 3, family);
        assert.deepEqual(await ask(nodePort.address, nodePort.port), { [expected]: EVERY_TRY });
      }
      assert.ok((await problems()) > 0);
    }
  });

  test("packets to 127.0.0.0/8 from a pod's veth are not accepted, whatever is asked for", async () => {
    await rig.agent.stop();
    await rig.serve({ number: 4, pods: ["pod-1-2"] });
    await rig.start(
      "--iptables-localhost-nodeports=true",
      "--nodeport-addresses=127.0.0.0/8,192.168.77.0/24",
    );
    const settings = await rig.run("sh", "-c", "cat /proc/sys/net/ipv4/conf/*/route_localnet");
    assert.deepEqual(new Set(settings.trim().split("\n")), new Set(["0"]));
    // The pod does all it can to send there.
    const { netns } = rig.playground.pod(1, 1);
    await rig.playground.sysctl(netns, ["net.ipv4.conf.*.route_localnet=1"]);
    const script =
      "ip address delete 127.0.0.1/8 dev lo; ip rule add pref 1 lookup main; " +
      "ip route add 127.0.0.0/8 via 169.254.1.1 dev eth0 onlink";
    const prepared = await rig.playground.exec(netns, ["sh", "-ec", script]);
    assert.equal(prepared.code, 0, prepared.stderr);
    const counter = 'iifname "veth-1-1" ip daddr 127.0.0.0/8 counter';
    const witness = ["prerouting", "input", "forward"].map(
      (hook) =>
        `add chain ip witness ${hook} { type filter hook ${hook} priority raw; }; ` +
        `add rule ip witness ${hook} ${counter}`,
    );
    await rig.run("nft", ["add table ip witness", ...witness].join("; "));
    const { port } = rig.address("nodePort", 4, "ip");
    for (const to of [port, ECHO_PORT]) {
      const target: ProbeTarget = { protocol: "tcp", address: "127.0.0.1", port: to };
      const results = await rig.probe("pod-1-1").tryMany({ ...target, timeoutMs: 300 }, 2);
      assert.deepEqual(countAnswers(results), { timeout: 2 });
    }
    const listing = await rig.run("nft", "list", "table", "ip", "witness");
    const packets = [...listing.matchAll(/counter packets (\d+)/g)].map(([, n]) => Number(n));
    const [arrived = 0, ...accepted] = packets;
    assert.ok(arrived >= 4, "they came to the node");
    assert.deepEqual(accepted, [0, 0], "and no further");
    const control = await rig.probe("pod-1-1").tcp(rig.node.addresses.ip, port);
    assert.equal(control.kind, "reply");
  });
});

/** Adds endpoints on this node to the slices of one family. */
function withEndpoints(
  object: Manifest,
  family: "ip" | "ip6",
  addresses: readonly string[],
): Manifest {
  const type = family === "ip" ? "IPv4" : "IPv6";
  const { addressType, endpoints } = object;
  if (addressType !== type || !Array.isArray(endpoints)) return object;
  const inside = addresses.map((address) => ({ addresses: [address], nodeName: "node-1" }));
  return { ...object, endpoints: [...inside, ...(endpoints as readonly object[])] };
}

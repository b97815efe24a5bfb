// A node's addresses come and go while the agent runs: NodePorts and health check ports follow,
// whichever way --nodeport-addresses picks them. And what those ports answer.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { ProbeResult } from "../../playground/probe-protocol.ts";
import {
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { FAMILIES, ServedNode, type TestService, until } from "./served-node.ts";

const FOLLOW_LIMIT_MS = 2_000;
const HEALTH_PORT = 32_001;
const NEW = { ip: "192.168.77.111", ip6: "fd77::111" } as const;
const ELSEWHERE = { ip: "198.51.100.11", ip6: "2001:db8:100::11" } as const;
const LOCAL: TestService = {
  number: 1,
  pods: ["pod-1-2", "pod-2-1"],
  spec: { externalTrafficPolicy: "Local", healthCheckNodePort: HEALTH_PORT },
};

describe("addresses of the node change", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    for (const address of Object.values(ELSEWHERE)) {
      await rig.playground.routeVip(address, rig.node);
    }
    await rig.serve(LOCAL);
  });
  afterEach(async () => {
    await rig.agent.kill();
    await putNode();
    for (const address of [...Object.values(NEW), ...Object.values(ELSEWHERE)]) {
      await changeAddress("delete", address).catch(() => {});
    }
  });
  after(() => rig[Symbol.asyncDispose]());

  async function changeAddress(verb: "add" | "delete", address: string): Promise<void> {
    const isIp6 = address.includes(":");
    const prefix = isIp6 ? 64 : 24;
    const nodad = isIp6 && verb === "add" ? ["nodad"] : [];
    await rig.run("ip", "address", verb, `${address}/${prefix}`, "dev", "eth0", ...nodad);
  }

  /** Writes the Node objects, ours with other addresses. */
  async function putNode(addresses: { ip: string; ip6: string } = rig.node.addresses) {
    const nodes = rig.playground.nodes.map((node) =>
      nodeManifest(node.name === rig.node.name ? { ...node, addresses } : node),
    );
    await rig.put("cluster", [SERVICE_CIDR_MANIFEST, ...nodes]);
  }

  const knock = (address: string): Promise<ProbeResult> =>
    rig.probe("client").tcp(address, rig.address("nodePort", 1, "ip").port, { timeoutMs: 300 });
  const knockUdp = (address: string): Promise<ProbeResult> =>
    rig.probe("client").udp(address, rig.address("nodePort", 1, "ip").port, { timeoutMs: 300 });

  /** Waits until the NodePort answers there, or does not. */
  async function answers(address: string, wanted: boolean): Promise<void> {
    await until(
      `${address} ${wanted ? "answers" : "is silent"}`,
      async () => {
        const results = [await knock(address), await knockUdp(address)];
        return results.every(({ kind }) => (kind === "reply") === wanted);
      },
      FOLLOW_LIMIT_MS,
    );
  }

  const health = (address: string): Promise<ProbeResult> =>
    rig.probe("client").http(address, HEALTH_PORT, { timeoutMs: 300 });

  test("primary: NodePorts and health ports follow the Node's InternalIP", async () => {
    const old = rig.node.addresses;
    await rig.start();
    for (const family of FAMILIES) {
      await changeAddress("add", NEW[family]);
      await answers(old[family], true);
      await answers(NEW[family], false);
    }
    await putNode(NEW);
    for (const family of FAMILIES) {
      await answers(NEW[family], true);
      await answers(old[family], false);
      const isThere = async (): Promise<boolean> => (await health(NEW[family])).kind === "reply";
      await until("the health port there", isThere, FOLLOW_LIMIT_MS);
      assert.equal((await health(old[family])).kind, "refused");
    }
  });

  test("primary: the health port opens as soon as the node has the address it is said to have", async () => {
    await rig.start();
    await putNode(NEW);
    for (const family of FAMILIES) {
      await until(
        "the address in the set",
        async () => (await rig.elements(family, "nodeport-ips")).includes(NEW[family]),
        FOLLOW_LIMIT_MS,
      );
      await changeAddress("add", NEW[family]);
      const isThere = async (): Promise<boolean> => (await health(NEW[family])).kind === "reply";
      await until("the health port there", isThere, FOLLOW_LIMIT_MS);
      await answers(NEW[family], true);
    }
  });

  test("prefixes: NodePorts answer on what lies in them as soon as it is on an interface", async () => {
    await rig.start("--nodeport-addresses=192.168.77.0/24,fd77::/64");
    for (const family of FAMILIES) {
      await answers(rig.node.addresses[family], true);
      await changeAddress("add", ELSEWHERE[family]);
      await changeAddress("add", NEW[family]);
      await answers(NEW[family], true);
      const isThere = async (): Promise<boolean> => (await health(NEW[family])).kind === "reply";
      await until("the health port there", isThere, FOLLOW_LIMIT_MS);
      await answers(ELSEWHERE[family], false);
      await changeAddress("delete", NEW[family]);
      await until(
        "the address gone from the set",
        async () => !(await rig.elements(family, "nodeport-ips")).includes(NEW[family]),
        FOLLOW_LIMIT_MS,
      );
    }
  });

  test("everywhere: NodePorts answer on each new address at once, and never on loopback", async () => {
    await rig.start("--nodeport-addresses=0.0.0.0/0,::/0");
    for (const family of FAMILIES) {
      await changeAddress("add", ELSEWHERE[family]);
      const target = rig.probe("client").tcp(ELSEWHERE[family], 30_101);
      assert.equal((await target).kind, "reply");
      const loopback = family === "ip" ? "127.0.0.1" : "::1";
      assert.equal((await rig.probe("node-1").tcp(loopback, 30_101)).kind, "refused");
      const isThere = async (): Promise<boolean> =>
        (await health(ELSEWHERE[family])).kind === "reply";
      await until("the health port there", isThere, FOLLOW_LIMIT_MS);
    }
  });

  test("a node without an address of its own opens no NodePort, and opens them once it has one", async () => {
    await rig.put("cluster", [SERVICE_CIDR_MANIFEST]);
    // An unknown node is never healthy: only the log tells when its work is done.
    const starting = rig.start();
    starting.catch(() => {});
    const { agent } = rig;
    await until("the rules", () => agent.log.some((line) => line.includes("Services are served")));
    assert.equal((await agent.get(10256, "/healthz")).status, 503);
    for (const family of FAMILIES) await answers(rig.node.addresses[family], false);
    await putNode();
    for (const family of FAMILIES) await answers(rig.node.addresses[family], true);
    await until("healthy", async () => (await agent.get(10256, "/healthz")).status === 200);
  });

  test("the health port counts local endpoints that are ready, and says so in JSON", async () => {
    await rig.start();
    const { addresses } = rig.node;
    const ask = async (address: string) => {
      const url = `http://${address.includes(":") ? `[${address}]` : address}:${HEALTH_PORT}/any/path`;
      const argv = ["curl", "-sgi", "--noproxy", "*", "--max-time", "1", url];
      const { stdout } = await rig.playground.exec(rig.playground.client.netns, argv);
      const [head = "", body = ""] = stdout.split("\r\n\r\n");
      const [line = "", ...headers] = head.toLowerCase().split("\r\n");
      return { status: Number(line.split(" ")[1]), headers, body };
    };
    const endpoints = (pods: TestService["pods"]) => rig.serve({ ...LOCAL, pods });
    for (const family of FAMILIES) {
      const expected = { service: { namespace: "default", name: "case-1" } };
      for (const [pods, count] of [
        [["pod-1-1", "pod-1-2", "pod-2-1"], 2],
        [["pod-1-2"], 1],
        [["pod-2-1"], 0],
        [[{ pod: "pod-1-2", conditions: { ready: false, serving: true, terminating: true } }], 0],
        [[], 0],
      ] as const) {
        await endpoints(pods);
        const body = { ...expected, localEndpoints: count, serviceProxyHealthy: true };
        const isAsWritten = async (): Promise<boolean> =>
          (await ask(addresses[family])).body === JSON.stringify(body);
        await until(`${count} endpoints`, isAsWritten, FOLLOW_LIMIT_MS);
        const answer = await ask(addresses[family]);
        assert.equal(answer.status, count > 0 ? 200 : 503);
        assert.ok(answer.headers.includes("content-type: application/json"));
        assert.ok(answer.headers.includes("x-content-type-options: nosniff"));
        assert.ok(answer.headers.includes(`x-load-balancing-endpoint-weight: ${count}`));
      }
      // One that only terminates still serves, while the port says to stay away.
      await endpoints([
        { pod: "pod-1-2", conditions: { ready: false, serving: true, terminating: true } },
      ]);
      await answers(addresses[family], true);
      await endpoints(LOCAL.pods);
    }
    await rig.serve({ ...LOCAL, spec: { externalTrafficPolicy: "Cluster" } });
    const isClosed = async (): Promise<boolean> => (await health(addresses.ip)).kind === "refused";
    await until("the health port closed", isClosed, FOLLOW_LIMIT_MS);
    await rig.serve(LOCAL);
  });
});

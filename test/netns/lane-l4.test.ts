// What the L4 lane does beyond carrying bytes, with real packets: routes by server name and by
// weight, the PROXY protocol, affinity over several workers.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { addressBytes } from "../../lib/ip/address.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { parseEchoReply } from "../../playground/echo-protocol.ts";
import { countAnswers } from "../../playground/probe.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import {
  BACKEND_PORT,
  caseManifests,
  type Manifest,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const PEER = fileURLToPath(new URL("./lane-l4-peer.ts", import.meta.url));
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
/** Numbers of Services: two parents of routes, their backends, and two with wishes of their own. */
const TLS = 1;
const TCP = 2;
const BLUE = 3;
const GREEN = 4;
const STICKY = 5;
const PROXIED = 6;
const PORT = 80;

describe("the L4 lane", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build({ nodes: 2, podsPerNode: 3 });
    await rig.echo.stop(pod("pod-2-3"));
    await rig.serve(
      { number: TLS, pods: ["pod-1-3"] },
      { number: TCP, pods: ["pod-1-3"] },
      { number: BLUE, pods: ["pod-1-2"] },
      { number: GREEN, pods: ["pod-2-1"] },
      {
        number: STICKY,
        pods: ["pod-1-2", "pod-1-3", "pod-2-1", "pod-2-2"],
        spec: { sessionAffinity: "ClientIP" },
      },
    );
    await rig.put("proxied", proxied());
    await rig.put("routes", [
      caseRoute(TLS, {
        kind: "TLSRoute",
        name: "blue",
        hostnames: ["blue.example"],
        rules: [{ backendRefs: [caseBackend(BLUE)] }],
      }),
      caseRoute(TLS, {
        kind: "TLSRoute",
        name: "green",
        hostnames: ["*.example"],
        rules: [{ backendRefs: [caseBackend(GREEN)] }],
      }),
      caseRoute(TCP, {
        kind: "TCPRoute",
        rules: [
          { backendRefs: [caseBackend(BLUE, 70), caseBackend(GREEN, 20), caseBackend(99, 10)] },
        ],
      }),
    ]);
    const words = [...NODE, PEER, "serve", String(BACKEND_PORT), "hex"];
    const peer = rig.playground.spawn(pod("pod-2-3").netns, words, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert(peer.stdout !== null);
    await once(peer.stdout, "data");
    const agent = await rig.start("--proxy-mode=userspace", "--proxy-workers=2");
    await until("both workers", async () => {
      const { body } = await agent.get(10249, "/metrics");
      return /^innermesh_proxy_workers 2/m.test(body);
    });
  });
  after(() => rig[Symbol.asyncDispose]());

  function pod(name: string): PlaygroundPod {
    return rig.pods.find((one) => one.name === name) ?? assert.fail(name);
  }

  /** A Service whose only pod is told who calls. */
  function proxied(): readonly Manifest[] {
    const metadata = { annotations: { "innermesh.io/proxy-protocol": "v2" } };
    const slices = [[{ pod: "pod-2-3" }]];
    const wanted = { name: "", metadata, spec: {}, slices, claims: [] };
    return caseManifests(wanted, PROXIED, rig.pods);
  }

  /** What a TLS client gets: the pod that answers, or an errno name. */
  async function hello(name: string, family: Family): Promise<string> {
    const { address, port } = rig.address("cluster", TLS, family);
    const argv = [...NODE, PEER, "hello", address, String(port), name];
    const { stdout } = await rig.playground.exec(pod("pod-1-1").netns, argv);
    return parseEchoReply(stdout)?.pod ?? stdout.trim();
  }

  for (const family of FAMILIES) {
    test(`${family}: TLS goes where its server name leads, or nowhere`, async () => {
      assert.equal(await hello("blue.example", family), "pod-1-2");
      assert.equal(await hello("Blue.Example.", family), "pod-1-2");
      assert.equal(await hello("red.example", family), "pod-2-1");
      assert.equal(await hello("blue.example.org", family), "ECONNRESET");
      assert.equal(await hello("-", family), "ECONNRESET");
    });

    test(`${family}: connections are shared out by weight, exactly`, async () => {
      const { address, port } = rig.address("cluster", TCP, family);
      const target = { protocol: "tcp", address, port, timeoutMs: 2_000 } as const;
      const answers = countAnswers(await rig.probe("pod-1-1").tryMany(target, 200, 4));
      // Each of two workers is off by three at most.
      for (const [name, count] of [
        ["pod-1-2", 140],
        ["pod-2-1", 40],
      ] as const) {
        assert(Math.abs((answers[name] ?? 0) - count) <= 6, JSON.stringify(answers));
      }
      // The share of a reference that leads nowhere is nobody's.
      const refused = (answers["reset"] ?? 0) + (answers["refused"] ?? 0);
      assert(Math.abs(refused - 20) <= 6, JSON.stringify(answers));
    });

    test(`${family}: workers that share nothing send a client to one endpoint`, async () => {
      const { address, port } = rig.address("cluster", STICKY, family);
      const target = { protocol: "tcp", address, port, timeoutMs: 2_000 } as const;
      const reached = new Set<string>();
      for (const from of ["pod-1-1", "pod-1-2", "node-1"]) {
        const answers = countAnswers(await rig.probe(from).tryMany(target, 60, 4));
        const names = Object.keys(answers);
        assert.equal(names.length, 1, JSON.stringify(answers));
        for (const name of names) reached.add(name);
      }
      assert(!reached.has("timeout") && !reached.has("refused"));
    });

    test(`${family}: an endpoint that asks for it is told who calls, and whom`, async () => {
      for (const from of [pod("pod-1-1"), rig.playground.client]) {
        const { address } = rig.address("cluster", PROXIED, family);
        const told = await headerFrom(from.name, family);
        const length = family === "ip" ? 12 : 36;
        const kind = family === "ip" ? "11" : "21";
        const signature = `0d0a0d0a000d0a515549540a21${kind}00${length.toString(16).padStart(2, "0")}`;
        assert(told.startsWith(signature), told);
        assert(told.includes(hexOf(from.addresses[family])), `${told} names ${from.name}`);
        assert(told.includes(hexOf(address)));
        assert(told.slice(0, 2 * (16 + length)).endsWith(PORT.toString(16).padStart(4, "0")));
      }
    });
  }

  /** The first bytes that the endpoint got, as it answers a client that speaks first. */
  async function headerFrom(from: string, family: Family): Promise<string> {
    const { address, port } = rig.address("cluster", PROXIED, family);
    const hosts = [rig.playground.client, ...rig.pods];
    const { netns } = hosts.find(({ name }) => name === from) ?? assert.fail(from);
    const argv = [...NODE, PEER, "hello", address, String(port), "a.example"];
    const { stdout } = await rig.playground.exec(netns, argv);
    return stdout.trim();
  }
});

function hexOf(address: string): string {
  return Buffer.from(addressBytes(address)).toString("hex");
}

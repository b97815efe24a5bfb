// The L7 lane with real packets: routes between pods, both versions of HTTP, and who the endpoints
// see.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { Asked } from "./http-lane-peer.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const PEER = fileURLToPath(new URL("./http-lane-peer.ts", import.meta.url));
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
/** Numbers of Services: the parent of the routes, its canary, and one that speaks gRPC. */
const WEB = 1;
const CANARY = 2;
const GRPC = 3;

describe("the L7 lane", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build({ nodes: 2, podsPerNode: 3 });
    await Promise.all(
      [
        ["pod-1-2", "http1"],
        ["pod-2-1", "http1"],
        ["pod-2-2", "http2"],
      ].map(([name = "", kind = ""]) => serve(pod(name), kind)),
    );
    await rig.serve(
      { number: WEB, pods: ["pod-1-2"] },
      { number: CANARY, pods: ["pod-2-1"] },
      { number: GRPC, pods: ["pod-2-2"] },
    );
    await rig.put("routes", [
      caseRoute(WEB, {
        name: "web",
        rules: [
          {
            matches: [{ ...below("/web"), headers: [{ name: "x-canary", value: "yes" }] }],
            backendRefs: [caseBackend(CANARY)],
          },
          {
            matches: [{ path: { type: "Exact", value: "/shared" } }],
            backendRefs: [caseBackend(WEB), caseBackend(CANARY)],
          },
          { matches: [below("/web")], backendRefs: [caseBackend(WEB)] },
          {
            matches: [{ path: { type: "Exact", value: "/nowhere" } }],
            backendRefs: [caseBackend(99)],
          },
        ],
      }),
      caseRoute(GRPC, {
        kind: "GRPCRoute",
        name: "grpc",
        rules: [
          {
            matches: [{ method: { service: "a.Greeter", method: "Greet" } }],
            backendRefs: [caseBackend(GRPC)],
          },
        ],
      }),
    ]);
    const agent = await rig.start("--proxy-workers=1", "--proxy-via");
    await agent.proxying();
    for (const family of FAMILIES) {
      for (const number of [WEB, GRPC]) {
        await until("the routes", async () =>
          /404|grpc-status: 12/.test(await curl("pod-1-1", family, number, "/x")),
        );
      }
    }
  });
  after(() => rig[Symbol.asyncDispose]());

  function pod(name: string): PlaygroundPod {
    return rig.pods.find((one) => one.name === name) ?? assert.fail(name);
  }

  async function serve({ name, netns }: PlaygroundPod, kind: string): Promise<void> {
    await rig.echo.stop(pod(name));
    const words = [...NODE, PEER, kind, name, String(BACKEND_PORT)];
    const peer = rig.playground.spawn(netns, words, { stdio: ["ignore", "pipe", "inherit"] });
    assert(peer.stdout !== null);
    await once(peer.stdout, "data");
  }

  /** Head and body of the answer. */
  async function curl(
    from: string,
    family: Family,
    number: number,
    path: string,
    ...options: readonly string[]
  ): Promise<string> {
    const hosts = [rig.playground.client, rig.node, ...rig.pods];
    const { netns } = hosts.find(({ name }) => name === from) ?? assert.fail(from);
    const { address, port } = rig.address("cluster", number, family);
    const host = family === "ip" ? address : `[${address}]`;
    const version = number === GRPC ? ["--http2-prior-knowledge"] : [];
    const argv = ["curl", "-s", "-g", "-i", "--max-time", "5", ...version, ...options];
    const { stdout } = await rig.playground.exec(netns, [...argv, `http://${host}:${port}${path}`]);
    return stdout;
  }

  async function ask(...of: Parameters<typeof curl>): Promise<Asked> {
    const answer = await curl(...of);
    return JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1)) as Asked;
  }

  for (const family of FAMILIES) {
    test(`${family}: requests go where their route leads`, async () => {
      assert.equal((await ask("pod-1-1", family, WEB, "/web/a")).pod, "pod-1-2");
      const canary = ["-H", "X-Canary: yes"];
      assert.equal((await ask("pod-1-1", family, WEB, "/web/a", ...canary)).pod, "pod-2-1");
      assert.match(await curl("pod-1-1", family, WEB, "/other"), /^HTTP\/1.1 404 /);
      assert.match(await curl("pod-1-1", family, WEB, "/nowhere"), /^HTTP\/1.1 500 /);
      const pods = await Promise.all(
        Array.from({ length: 24 }, async () => (await ask("pod-1-1", family, WEB, "/shared")).pod),
      );
      assert.deepEqual([...new Set(pods)].sort(), ["pod-1-2", "pod-2-1"]);
    });

    test(`${family}: endpoints see the pod that asks, in packets and in fields`, async () => {
      const { addresses } = pod("pod-1-1");
      for (const options of [[], ["--http2-prior-knowledge"], ["-H", "X-Canary: yes"]]) {
        const claims = ["-H", "X-Forwarded-For: 192.0.2.1"];
        const asked = await ask("pod-1-1", family, WEB, "/web/a", ...options, ...claims);
        assert.equal(asked.from?.replace("::ffff:", ""), addresses[family]);
        assert.equal(asked.headers["x-forwarded-for"], addresses[family]);
        assert.equal(asked.version, "1.1");
      }
    });

    test(`${family}: both sides are told of the hop between them, where that is asked for`, async () => {
      for (const [version, options] of [
        ["1.1", []],
        ["2.0", ["--http2-prior-knowledge"]],
      ] as const) {
        const asked = await ask("pod-1-1", family, WEB, "/web/a", ...options);
        assert.equal(asked.headers["via"], `${version} innermesh`);
        assert.match(
          await curl("pod-1-1", family, WEB, "/web/a", ...options),
          /^via: 1\.1 innermesh\r$/m,
        );
      }
    });

    test(`${family}: processes of the node and clients from outside are served, too`, async () => {
      for (const from of ["node-1", rig.playground.client.name]) {
        assert.equal((await ask(from, family, WEB, "/web/a")).pod, "pod-1-2");
      }
    });

    test(`${family}: gRPC is routed by method, and its trailers come back`, async () => {
      const post = ["-X", "POST", "-H", "content-type: application/grpc", "-H", "te: trailers"];
      const answer = await curl("pod-1-1", family, GRPC, "/a.Greeter/Greet", ...post);
      assert.match(answer, /"pod":"pod-2-2","version":"2"/);
      assert.match(answer, /grpc-status: 0/);
      const other = await curl("pod-1-1", family, GRPC, "/a.Greeter/Leave", ...post);
      assert.match(other, /^HTTP\/2 200 [^]*grpc-status: 12/);
    });
  }

  test("requests are counted by who asked, which Service, which route", async () => {
    await until("a beat", async () => {
      const { body } = await rig.agent.get(10249, "/metrics");
      const lines = body.split("\n").filter((line) => line.startsWith("innermesh_requests_total{"));
      const labels = ['route="HTTPRoute default/web"', 'result="2xx"'];
      return lines.some((line) => labels.every((label) => line.includes(label)));
    });
  });
});

function below(value: string): Readonly<Record<string, unknown>> {
  return { path: { type: "PathPrefix", value } };
}

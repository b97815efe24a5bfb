// Requests of pods with identities: routed at the client's node, and carried in tunnels below that.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { HttpClientCalls } from "./http-client-protocol.ts";
import type { Asked } from "./http-lane-peer.ts";
import { Mesh } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const WEB = 1;
const CANARY = 2;
const GRPC = 3;
const BACKENDS = { "pod-2-1": "http1", "pod-2-2": "http1", "pod-2-3": "http2" } as const;
/** Of one ServiceAccount. */
const CLIENTS = ["pod-1-1", "pod-1-2"] as const;
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
const PEER = fileURLToPath(new URL("./http-lane-peer.ts", import.meta.url));
const CLIENT = fileURLToPath(new URL("./http-client-process.ts", import.meta.url));

describe("requests in tunnels", () => {
  let mesh: Mesh;
  const clients = new Map<string, LineCaller<HttpClientCalls>>();
  before(async () => {
    mesh = await Mesh.build({ podsPerNode: 3 });
    const { served } = mesh;
    for (const [pod, kind] of Object.entries(BACKENDS)) await serveHttp(pod, kind);
    await mesh.putPods(Object.fromEntries(CLIENTS.map((pod) => [pod, { serviceAccount: "web" }])));
    const grpc = served.manifests({ number: GRPC, pods: ["pod-2-3"] });
    await served.put("web", [
      ...served.manifests({ number: WEB, pods: ["pod-2-1"] }),
      ...served.manifests({ number: CANARY, pods: ["pod-2-2"] }),
      ...grpc.map(speaksHttp2),
      caseRoute(WEB, {
        rules: [
          {
            matches: [{ headers: [{ name: "x-canary", value: "yes" }] }],
            backendRefs: [caseBackend(CANARY)],
          },
          { backendRefs: [caseBackend(WEB)] },
        ],
      }),
      caseRoute(GRPC, { kind: "GRPCRoute", rules: [{ backendRefs: [caseBackend(GRPC)] }] }),
    ]);
    await mesh.certified();
    for (const family of FAMILIES) {
      await until("the route", async () => {
        const [first] = await ask("pod-1-1", family, WEB, { headers: { "x-canary": "yes" } });
        return first?.pod === "pod-2-2";
      });
      await until("the other route", async () => {
        const [first] = await ask("pod-1-1", family, GRPC);
        return first?.pod === "pod-2-3";
      });
    }
  });
  after(async () => {
    for (const client of clients.values()) await client[Symbol.asyncDispose]();
    await mesh?.[Symbol.asyncDispose]();
  });

  async function serveHttp(name: string, kind: string): Promise<void> {
    const { playground, echo } = mesh.served;
    const pod = mesh.pod(name);
    await echo.stop(pod);
    const { port } = mesh.at(name, "ip");
    const argv = [...NODE, PEER, kind, name, String(port)];
    const peer = playground.spawn(pod.netns, argv, { stdio: ["ignore", "pipe", "inherit"] });
    assert(peer.stdout !== null);
    await once(peer.stdout, "data");
  }

  function clientOf(pod: string): LineCaller<HttpClientCalls> {
    const known = clients.get(pod);
    if (known !== undefined) return known;
    const argv = [...NODE, CLIENT];
    const client = new LineCaller<HttpClientCalls>(
      mesh.served.playground.spawn(mesh.pod(pod).netns, argv),
    );
    clients.set(pod, client);
    return client;
  }

  /** What backends say of requests that they answered. */
  async function ask(
    from: string,
    family: Family,
    service: number,
    options: { readonly count?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<readonly Asked[]> {
    const { count = 1, headers = {} } = options;
    const protocol = service === GRPC ? "http2" : "http1";
    const target = mesh.served.address("cluster", service, family);
    const method = service === GRPC ? "POST" : "GET";
    const grpc = service === GRPC ? { "content-type": "application/grpc", te: "trailers" } : {};
    const results = await clientOf(from).call("call", {
      call: { ...target, protocol, method, path: "/a.B/C", headers: { ...grpc, ...headers } },
      count,
      parallel: Math.min(count, 4),
      reuse: true,
    });
    return results.flatMap((result): Asked[] =>
      result.kind === "answer" && result.body.startsWith("{") ? [JSON.parse(result.body)] : [],
    );
  }

  for (const family of FAMILIES) {
    test(`${family}: a route sends requests by a header, and nothing of them is readable`, async () => {
      const word = "secret-4d1f0a92";
      const wire = await mesh.captured(async () => {
        const headers = { "x-word": word };
        const [plain] = await ask("pod-1-1", family, WEB, { headers });
        assert.equal(plain?.pod, "pod-2-1");
        assert.equal(plain.headers["x-word"], word);
        const [canary] = await ask("pod-1-1", family, WEB, {
          headers: { ...headers, "x-canary": "yes" },
        });
        assert.equal(canary?.pod, "pod-2-2");
      });
      assert(!wire.includes(word));
    });

    test(`${family}: gRPC over HTTP/2 goes through, trailers too`, async () => {
      const answers = await ask("pod-1-2", family, GRPC, { count: 20 });
      assert.deepEqual(
        new Set(answers.map(({ pod, version }) => `${pod} ${version}`)),
        new Set(["pod-2-3 2"]),
      );
      assert.equal(answers.length, 20);
    });

    test(`${family}: two pods of one identity share no session: each is seen as itself`, async () => {
      for (const service of [WEB, GRPC]) {
        const asked = CLIENTS.map((pod) => ask(pod, family, service, { count: 40 }));
        const answers = await Promise.all(asked);
        for (const [index, pod] of CLIENTS.entries()) {
          const seen = answers[index]?.map(({ from = "" }) => from.replace("::ffff:", ""));
          assert.deepEqual([...new Set(seen)], [mesh.pod(pod).addresses[family]]);
          assert.equal(seen?.length, 40);
        }
      }
      for (const pod of CLIENTS) assert(await hasSession(pod, family), `${pod} has a session`);
    });
  }

  /** Whether node-2 has a session that comes from a pod. */
  async function hasSession(pod: string, family: Family): Promise<boolean> {
    const { playground } = mesh.served;
    const argv = ["ss", "-Htn", "state", "established", "sport", "=", ":15008"];
    const { stdout } = await playground.exec(playground.node(2).netns, argv);
    const { addresses } = mesh.pod(pod);
    const client = family === "ip" ? `${addresses.ip}:` : `[${addresses.ip6}]:`;
    return stdout.split("\n").some((line) => line.includes(client));
  }
});

function speaksHttp2(item: Manifest): Manifest {
  const text = JSON.stringify(item);
  return JSON.parse(
    text.replaceAll('"protocol":"TCP"', '"protocol":"TCP","appProtocol":"kubernetes.io/h2c"'),
  );
}

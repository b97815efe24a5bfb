// gRPC as its reference implementation for Node speaks it, on both sides of the L7 lane.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { GrpcOutcome } from "./grpc-js-peer.ts";
import { FAMILIES, ServedNode } from "./served-node.ts";

const PEER = fileURLToPath(new URL("./grpc-js-peer.ts", import.meta.url));
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning", PEER];
const SERVERS = ["pod-1-2", "pod-2-1", "pod-2-2"];
const SERVICE = 1;
/** google.rpc.Code */
const FAILED_PRECONDITION = 9;
const DEADLINE_EXCEEDED = 4;

describe("grpc-js through the L7 lane", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build({ nodes: 2, podsPerNode: 3 });
    for (const name of SERVERS) {
      const pod = rig.pods.find((one) => one.name === name) ?? assert.fail(name);
      await rig.echo.stop(pod);
      const words = [...NODE, "server", `[::]:${BACKEND_PORT}`, name];
      const peer = rig.playground.spawn(pod.netns, words, { stdio: ["ignore", "pipe", "inherit"] });
      assert(peer.stdout !== null);
      await once(peer.stdout, "data");
    }
    await rig.serve({ number: SERVICE, pods: SERVERS });
    const rules = [{ backendRefs: [caseBackend(SERVICE)] }];
    await rig.put("routes", [caseRoute(SERVICE, { kind: "GRPCRoute", rules })]);
    const agent = await rig.start("--proxy-workers=1", "--admin-socket=");
    await agent.proxying();
  });
  after(() => rig[Symbol.asyncDispose]());

  async function ask(family: "ip" | "ip6"): Promise<GrpcOutcome> {
    const { address, port } = rig.address("cluster", SERVICE, family);
    const target = family === "ip" ? `${address}:${port}` : `[${address}]:${port}`;
    const from = rig.pods.find(({ name }) => name === "pod-1-1") ?? assert.fail("pod-1-1");
    const { stdout } = await rig.playground.exec(from.netns, [...NODE, "client", target]);
    return JSON.parse(stdout) as GrpcOutcome;
  }

  for (const family of FAMILIES) {
    test(`${family}: calls of one connection spread, streams keep their order, statuses arrive`, async () => {
      const { pods, chat, refused, late, metadata } = await ask(family);
      assert.deepEqual(Object.keys(pods).sort(), SERVERS, JSON.stringify(pods));
      assert.deepEqual(
        chat,
        Array.from({ length: 20 }, (_, n) => `re message ${n}`),
      );
      assert.deepEqual(refused, [FAILED_PRECONDITION, "not today"]);
      assert.equal(late, DEADLINE_EXCEEDED);
      assert(SERVERS.includes(metadata[0]), metadata[0]);
      assert.equal(metadata[1], "5");
    });
  }
});

// From nothing to mutual TLS on a real API server: controllers make their root, agents get
// certificates through the CA's Service, strict pods of two nodes talk in tunnels; then a pod that
// the CA has not heard of, a CA that is down (fault F39), and a node that is banned.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "./answers.ts";
import { publishedRoots } from "./ca-rig.ts";
import { putPod } from "./cluster-objects.ts";
import { type FaultProxy, type SeenRequest, startFaultProxy } from "./fault-proxy.ts";
import { AskingPod, IdentityCluster, SETTLE_LIMIT_MS } from "./identity-rig.ts";

const CONNECTIONS = "innermesh_tunnel_connections_total";
const REQUESTS = "innermesh_certificate_requests_total";
/** How long it is watched that something does not come. */
const QUIET_MS = 2_000;
/** Two looks of the CA, the agents' watch, and time to spare. */
const BAN_LIMIT_MS = 20_000;

suite("identities in a cluster", () => {
  let mesh: IdentityCluster;
  /** Before the API server, for controllers alone. */
  let proxy: FaultProxy;
  /** Pods that came to node-2 while it was banned. */
  let late = 0;

  before(async () => {
    mesh = await IdentityCluster.build("strict");
    proxy = await startFaultProxy(mesh.cluster.controlPlane);
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  /** Waits until pod-1-1 and Service web talk, or no more. */
  async function talks(want: boolean, limitMs = SETTLE_LIMIT_MS): Promise<void> {
    await eventually(async () => {
      const answer = await mesh.ask(1, 1, 1_000);
      assert.equal(answer === "pod-2-1", want, answer);
    }, limitMs);
  }

  async function refusals(reason: string): Promise<number> {
    const pages = await Promise.all(mesh.replicas.map(({ metrics }) => metrics()));
    const counts = pages.map(
      (page) => page.sum("innermesh_ca_requests_refused_total", { reason }) || 0,
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  test("two controllers, two agents, two pods: from nothing to mutual TLS", async (t) => {
    const startMs = performance.now();
    const note = (what: string): void =>
      t.diagnostic(`${what} after ${Math.round(performance.now() - startMs)} ms`);
    await mesh.startControllers([], proxy.url);
    await mesh.startAgents();
    note("controllers and agents run");
    await mesh.putPod(1, 1);
    await mesh.putPod(2, 1);
    assert.equal((await eventually(() => publishedRoots(mesh.admin))).length, 1);
    await mesh.certified(1);
    note("each pod has a certificate");
    await talks(true);
    note("the first answer comes");
    const ends = [
      { node: 1, side: "client" },
      { node: 2, side: "server" },
    ];
    await eventually(async () => {
      for (const { node, side } of ends) {
        assert.ok((await mesh.metric(node, CONNECTIONS, { side, result: "ok" })) > 0, side);
      }
    });
  });

  test("F44: a pod calls before anybody knows it: nothing gets in before its certificate", async (t) => {
    const tunnelled = () => mesh.metric(2, CONNECTIONS, { side: "server", result: "ok" });
    const before = await tunnelled();
    await using pod = new AskingPod(mesh, 1, 2);
    await pod.silentFor(QUIET_MS);
    const startMs = performance.now();
    await mesh.putPod(1, 2);
    await pod.answered();
    t.diagnostic(`${Math.round(performance.now() - startMs)} ms from its object to its answer`);
    await pod[Symbol.asyncDispose]();
    await eventually(async () => assert.ok((await tunnelled()) - before >= pod.answers));
  });

  test("a pod that the CA has not heard of yet gets its certificate soon after", async (t) => {
    /** By watch. */
    const held = new Map<SeenRequest, string[]>();
    let isHolding = true;
    proxy.faults = {
      rewrite: (line, request) => {
        if (request.path !== "/api/v1/pods") return [line];
        const lines = [...(held.get(request) ?? []), line];
        held.set(request, isHolding ? lines : []);
        return isHolding ? [] : lines;
      },
    };
    const before = await refusals("no-pod");
    await mesh.putPod(1, 3);
    await eventually(async () => assert.ok((await refusals("no-pod")) > before));
    isHolding = false;
    const startMs = performance.now();
    // What is held goes out with the next line.
    await mesh.putPod(2, 3);
    await mesh.certified(3, 1);
    proxy.faults = {};
    t.diagnostic(`${Math.round(performance.now() - startMs)} ms from its hearing of it`);
  });

  test("F39: with the CA down certificates serve, new ones wait; back up, they come", async () => {
    await mesh.stopControllers();
    const failed = await mesh.metric(1, REQUESTS, { result: "failed" });
    await mesh.putPod(1, 4);
    await using pod = new AskingPod(mesh, 1, 4);
    await pod.silentFor(QUIET_MS);
    assert.equal(await mesh.ask(1, 1), "pod-2-1");
    await eventually(async () => {
      assert.ok((await mesh.metric(1, REQUESTS, { result: "failed" })) > failed);
    });
    assert.equal(pod.answers, 0);
    await mesh.startControllers();
    await pod.answered();
  });

  test("a banned node: its certificates are worth nothing within seconds, and it gets none", async (t) => {
    const { ip } = mesh.cluster.playground.pod(2, 1).addresses;
    const connection = await mesh.cluster.podProbe(1, 1).open(ip, 9090);
    assert(connection.kind === "open", connection.kind);
    assert.equal((await connection.say("before")).kind, "reply");
    const refused = await refusals("banned");
    const startMs = performance.now();
    await mesh.putBans({ "node-2": new Date().toISOString() });
    await talks(false, BAN_LIMIT_MS);
    t.diagnostic(`refused after ${Math.round(performance.now() - startMs)} ms`);
    await eventually(async () => {
      assert.notEqual((await connection.say("after")).kind, "reply");
    }, BAN_LIMIT_MS);
    // Replicas look at bans one after the other.
    await eventually(async () => {
      late += 1;
      const name = `late-${late}`;
      // Without an address: nothing would prove who is there.
      const place = { nodeName: "node-2", podIPs: [] };
      await putPod(mesh.admin, { name, serviceAccountName: name, ...place });
      await delay(500);
      assert.ok((await refusals("banned")) > refused);
    });
  });

  test("a ban that has an end: what was issued before stays worthless, and is replaced", async () => {
    const [since, until] = [new Date(0), new Date()].map((date) => date.toISOString());
    await mesh.putBans({ "node-2": `${since}/${until}` });
    await talks(true);
    await mesh.certified(2 + late, 2);
  });

  test("the manifests give everybody all the rights they need", async () => {
    const log = [...mesh.agents.values(), ...mesh.replicas].flatMap((one) => one.log);
    assert.deepEqual(
      log.filter((line) => /forbidden/i.test(line)),
      [],
    );
    await mesh.stopControllers();
  });
});

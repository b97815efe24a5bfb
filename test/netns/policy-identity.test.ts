// Policies that select callers by ServiceAccount, with real packets: on every way to the server the
// certificate decides, and nothing that a caller can make up.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inLane } from "./lane-manifest.ts";
import {
  accountPolicy,
  BATCHES,
  callers,
  FRONTS,
  IDENTITY_LANE,
  PLAIN,
  PODS,
  PolicyMesh,
  SERVER,
  SILENCE,
} from "./policy-mesh.ts";
import { FAMILIES, until } from "./served-node.ts";

/** Runs as `batch`. */
const OTHER_SERVER = BATCHES[1];
const HTTP_PORT = 8080;

describe("ServiceAccountPolicy, two callers with the same labels", () => {
  let rig: PolicyMesh;
  before(async () => {
    rig = await PolicyMesh.build();
  });
  after(() => rig?.[Symbol.asyncDispose]());

  test("who runs as the account is served on every way, its neighbour on none", async () => {
    await rig.hold(accountPolicy(callers("front")));
    await rig.serves(...FRONTS);
    await rig.hold(accountPolicy(callers("batch")));
    await rig.serves(...BATCHES);
  });

  test("labels do not count: neither other ones nor those of the account that is let in", async () => {
    await rig.hold(accountPolicy(callers("front")));
    const labels = { app: "server", front: "front", "innermesh.io/identity": "strict" };
    await rig.people(Object.fromEntries(BATCHES.map((pod) => [pod, { labels }])));
    await rig.serves(...FRONTS);
    await rig.people();
  });

  test("an address of the account's pod, used by another: nothing", async () => {
    const { mesh } = rig;
    const { playground } = mesh.served;
    const [from, front] = [mesh.pod(BATCHES[0]), mesh.pod(FRONTS[0])];
    const address = front.addresses.ip;
    const change = (verb: string) =>
      playground.exec(from.netns, ["ip", "address", verb, `${address}/32`, "dev", "lo"]);
    await change("add");
    const { segments } = await rig.received(SERVER);
    for (const target of Object.values(rig.ways(BATCHES[0], "ip"))) {
      const probe = mesh.served.probe(BATCHES[0]);
      const options = { sourceAddress: address, timeoutMs: 500 };
      const answer = await probe.tcp(target.address, target.port, options);
      assert.equal(answer.kind, "timeout");
    }
    assert.equal((await rig.received(SERVER)).segments, segments);
    await change("del");
  });

  test("the node's probes pass, the processes of others and strangers do not", async () => {
    for (const family of FAMILIES) {
      const target = rig.mesh.at(SERVER, family);
      const nodePort = rig.mesh.nodePort(1, IDENTITY_LANE, family);
      await rig.agree([
        { from: "node-2", way: "pod", target, wanted: SERVER },
        { from: "client", way: "NodePort", target: nodePort, wanted: SILENCE },
        { from: PLAIN, way: "NodePort", target: nodePort, wanted: SILENCE },
      ]);
      const { opens } = await rig.received(SERVER);
      assert.notEqual(await rig.ask("node-1", target), SERVER);
      assert.notEqual(
        await rig.ask("node-1", rig.ways(FRONTS[0], family)["VIP"] ?? target),
        SERVER,
      );
      assert.equal((await rig.received(SERVER)).opens, opens);
    }
  });

  test("Deny: its account is out, and whoever proves nothing, at that port alone", async () => {
    await rig.hold(accountPolicy({ action: "Deny", ...callers("batch") }));
    await rig.serves(...FRONTS);
    for (const family of FAMILIES) {
      const { address } = rig.mesh.at(SERVER, family);
      for (const from of PODS) {
        const answer = await rig.mesh.served.probe(from).http(address, HTTP_PORT);
        assert.equal(answer.kind === "reply" && answer.echo?.pod, SERVER, from);
      }
    }
  });

  test("Audit: nobody is denied who proves something, each match is told", async () => {
    const audited = { direction: "ingress", verdict: "audit" };
    const name = "innermesh_policy_verdicts_total";
    const ask = { ...callers("batch") };
    await rig.hold(accountPolicy({ action: "Audit", ...ask }, "watch"));
    await rig.serves(...PODS);
    await until("the match", async () => {
      await rig.ask(BATCHES[0], rig.mesh.at(SERVER, "ip"));
      return (await rig.mesh.metric(2, name, audited)) > 0;
    });
    const line = rig.mesh.agent(2).accessLog.find((text) => text.includes("default/watch"));
    const { sourceIdentity, rule } = JSON.parse(line ?? "{}");
    assert.match(sourceIdentity, /\/sa\/batch$/);
    assert.match(rule, /^ServiceAccountPolicy default\/watch/);
  });

  test("of endpoints of which one lets it in, a client gets that one alone", async () => {
    const lanes = { identity: 21, l4: 22 } as const;
    const { served } = rig.mesh;
    const of = (number: number) => served.manifests({ number, pods: [SERVER, OTHER_SERVER] });
    const l4 = of(lanes.l4).map((item) => inLane(item, { lane: "l4" }));
    await served.put("both", [...of(lanes.identity), ...l4]);
    const others = { podSelector: undefined, serviceAccounts: ["batch"], ...callers("nobody") };
    await rig.hold(accountPolicy(callers("front")), accountPolicy(others, "others"));
    await rig.serves(...FRONTS);
    for (const from of FRONTS) {
      for (const family of FAMILIES) {
        for (const number of Object.values(lanes)) {
          const target = served.address("cluster", number, family);
          await rig.agree([{ from, way: "VIP of both", target, wanted: SERVER }]);
          const calls = Array.from({ length: 40 }, () => rig.ask(from, target, 10_000));
          assert.deepEqual(new Set(await Promise.all(calls)), new Set([SERVER]));
        }
      }
    }
    const target = served.address("cluster", lanes.l4, "ip");
    await rig.agree([{ from: PLAIN, way: "VIP of both", target, wanted: SILENCE }]);
  });
});

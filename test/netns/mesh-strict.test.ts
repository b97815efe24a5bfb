// Strict identities: whoever proves one is served, on every path; whoever does not is refused, on
// every path.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import { countAnswers } from "../../playground/probe.ts";
import { makeLeaf } from "./mesh-leaf.ts";
import { Mesh, type MeshTarget, newRoot, TRUST_DOMAIN } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const FAR = 1;
const NEAR = 2;
const REFUSED_AFTER_MS = 1_000;
const SPOOFED = { reason: "spoofed" };
const CURL_TIMED_OUT = 28;

type Place = (mesh: Mesh, family: Family) => MeshTarget;
type Path = readonly [name: string, from: string, to: Place];

const at =
  (entry: "cluster" | "balancer" | "external", service: number): Place =>
  (mesh, family) =>
    mesh.served.address(entry, service, family);
const nodePort =
  (node: number, service: number): Place =>
  (mesh, family) =>
    mesh.nodePort(node, service, family);
const pod =
  (name: string): Place =>
  (mesh, family) =>
    mesh.at(name, family);

const SERVED: readonly (readonly [...Path, answer: string])[] = [
  ["a VIP", "pod-1-2", at("cluster", FAR), "pod-2-1 sees pod-1-2"],
  ["a pod", "pod-1-2", pod("pod-2-1"), "pod-2-1 sees pod-1-2"],
  ["a NodePort of its own node", "pod-1-2", nodePort(1, FAR), "pod-2-1 sees pod-1-2"],
  ["an LB address", "pod-1-2", at("balancer", FAR), "pod-2-1 sees pod-1-2"],
  ["a VIP on its node", "pod-1-2", at("cluster", NEAR), "pod-1-1 sees pod-1-2"],
  ["a pod on its node", "pod-1-2", pod("pod-1-1"), "pod-1-1 sees pod-1-2"],
  ["a VIP from the other node", "pod-2-2", at("cluster", NEAR), "pod-1-1 sees pod-2-2"],
  ["a pod from its own node's processes", "node-1", pod("pod-1-1"), "pod-1-1 sees node-1"],
  ["a VIP from its own node's processes", "node-1", at("cluster", NEAR), "pod-1-1 sees node-1"],
  ["a pod from the other node's processes", "node-2", pod("pod-1-1"), "pod-1-1 sees node-2"],
  ["a VIP from the other node's processes", "node-2", at("cluster", NEAR), "pod-1-1 sees node-2"],
];

/** `pod-1-3` and `pod-2-3` have no identity. */
const REFUSED: readonly Path[] = [
  ["a pod on its node", "pod-1-3", pod("pod-1-1")],
  ["a VIP on its node", "pod-1-3", at("cluster", NEAR)],
  ["a pod on the other node", "pod-1-3", pod("pod-2-1")],
  ["a VIP on the other node", "pod-1-3", at("cluster", FAR)],
  ["an external address", "pod-1-3", at("external", FAR)],
  ["a NodePort of its node", "pod-1-3", nodePort(1, FAR)],
  ["a NodePort of the other node", "pod-1-3", nodePort(2, NEAR)],
  ["a pod, from the other node", "pod-2-3", pod("pod-1-1")],
  ["a VIP, from the other node", "pod-2-3", at("cluster", NEAR)],
  ["a NodePort of the other node, from a node's processes", "node-1", nodePort(2, FAR)],
  ["a NodePort, from outside", "client", nodePort(1, NEAR)],
  ["a NodePort of a node without the pod, from outside", "client", nodePort(2, NEAR)],
  ["an LB address, from outside", "client", at("balancer", NEAR)],
  ["an LB address of a far pod, from outside", "client", at("balancer", FAR)],
  ["a pod, from outside", "client", pod("pod-1-1")],
  ["another node's NodePort, with an identity but no proof", "pod-1-2", nodePort(2, FAR)],
];

const REFUSED_UDP: readonly Path[] = [
  ["a pod on its node", "pod-1-2", pod("pod-1-1")],
  ["a VIP on its node", "pod-1-2", at("cluster", NEAR)],
  ["a pod on the other node", "pod-1-2", pod("pod-2-1")],
  ["a VIP on the other node", "pod-1-2", at("cluster", FAR)],
  ["itself by a VIP", "pod-1-1", at("cluster", NEAR)],
  ["a pod, without an identity", "pod-2-3", pod("pod-1-1")],
  ["a NodePort, from outside", "client", nodePort(1, NEAR)],
  ["an LB address, from outside", "client", at("balancer", FAR)],
];

describe("strict identities", () => {
  let mesh: Mesh;
  before(async () => {
    const exempt = ["pod-1-3", "pod-2-3"];
    mesh = await Mesh.build({ mode: "strict", podsPerNode: 3, exempt });
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.served.serve({ number: NEAR, pods: ["pod-1-1"] });
    await mesh.ready();
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  for (const family of FAMILIES) {
    test(`${family}: pods with identities are served on every path`, async () => {
      for (const [name, from, to, answer] of SERVED) {
        assert.equal(await mesh.talk(from, to(mesh, family)), answer, name);
      }
    });

    test(`${family}: a pod reaches itself by a VIP`, async () => {
      const answer = await mesh.talk("pod-1-1", mesh.served.address("cluster", NEAR, family));
      assert.match(answer, /^pod-1-1 sees /);
    });

    test(`${family}: plaintext is refused on every path`, async () => {
      const tries = REFUSED.map(async ([name, from, to]) => {
        const answer = await mesh.talk(from, to(mesh, family), { timeoutMs: REFUSED_AFTER_MS });
        return answer.includes(" ") ? [`${from}, ${name}: ${answer}`] : [];
      });
      assert.deepEqual((await Promise.all(tries)).flat(), []);
    });

    test(`${family}: UDP is refused on every path, for it proves nothing`, async () => {
      const tries = REFUSED_UDP.map(async ([name, from, to]) => {
        const { address, port } = to(mesh, family);
        const answer = await mesh.served.probe(from).udp(address, port);
        return answer.kind === "reply" ? [`${from}, ${name}`] : [];
      });
      assert.deepEqual((await Promise.all(tries)).flat(), []);
      const { address, port } = mesh.at("pod-1-1", family);
      const own = await mesh.served.probe("node-1").udp(address, port);
      assert.deepEqual(countAnswers([own]), { "pod-1-1": 1 });
    });

    test(`${family}: the tunnel's door takes who proves an identity, and no other`, async () => {
      const uri = `spiffe://${TRUST_DOMAIN}/ns/default/sa/pod-2-1`;
      const elsewhere = `spiffe://elsewhere/ns/default/sa/pod-2-1`;
      const refused = {
        nothing: {},
        "another root": makeLeaf(newRoot(), uri),
        "another trust domain": makeLeaf(mesh.material, elsewhere),
      };
      for (const [what, leaf] of Object.entries(refused)) {
        const { status, bytes } = await mesh.stranger("pod-2-3", "pod-1-1", family, leaf);
        assert.deepEqual({ status, bytes }, { status: 0, bytes: 0 }, what);
      }
      const leaf = makeLeaf(mesh.material, uri);
      const taken = await mesh.stranger("pod-2-1", "pod-1-1", family, leaf);
      assert.equal(taken.status, 200, taken.error);
      assert(taken.bytes > 0);
      const misled = await mesh.stranger("pod-2-1", "pod-1-1", family, {
        ...leaf,
        authority: "pod-1-2",
      });
      assert.deepEqual([misled.status, misled.bytes], [400, 0]);
    });
  }

  test("no pod is taken for its node, whose address it claims", async () => {
    const { playground } = mesh.served;
    const [pod, target] = [mesh.pod("pod-1-3"), mesh.at("pod-2-1", "ip")];
    const { ip } = playground.node(1).addresses;
    const run = (...argv: readonly string[]) => playground.exec(pod.netns, argv);
    const forged = () => mesh.metric(1, "innermesh_identity_dropped_packets_total", SPOOFED);
    const before = await forged();
    await run("ip", "address", "add", `${ip}/32`, "dev", "lo");
    const url = `http://${target.address}:${target.port}/`;
    const { code } = await run("curl", "-s", "--interface", ip, "--connect-timeout", "1", url);
    assert.equal(code, CURL_TIMED_OUT);
    await until("the forged packets", async () => (await forged()) > before);
    await run("ip", "address", "del", `${ip}/32`, "dev", "lo");
  });

  test("what was refused is counted", async () => {
    for (const node of [1, 2]) {
      await until(`what node-${node} dropped`, async () => {
        const labels = { reason: "closed" };
        return (await mesh.metric(node, "innermesh_identity_dropped_packets_total", labels)) > 0;
      });
    }
  });
});

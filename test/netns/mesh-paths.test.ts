// Permissive identities on every path between two nodes: who answers, whom they see, and what the
// link carries in plaintext.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { Mesh, type MeshTarget } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

/** Served by a pod of the other node, and by one of this node. */
const FAR = 1;
const NEAR = 2;
/** Served by pods that have no identity. */
const PLAIN = 3;

const BULK = fileURLToPath(new URL("./mesh-bulk.ts", import.meta.url));
const BULK_BYTES = 64 << 20;

interface Path {
  readonly name: string;
  readonly from: string;
  readonly to: (mesh: Mesh, family: Family) => MeshTarget;
  readonly answer: string | RegExp;
}

const vip = (service: number) => (mesh: Mesh, family: Family) =>
  mesh.served.address("cluster", service, family);
const balancer = (service: number) => (mesh: Mesh, family: Family) =>
  mesh.served.address("balancer", service, family);
const nodePort = (node: number, service: number) => (mesh: Mesh, family: Family) =>
  mesh.nodePort(node, service, family);
const pod = (name: string) => (mesh: Mesh, family: Family) => mesh.at(name, family);

const IN_TUNNEL: readonly Path[] = [
  { name: "VIP", from: "pod-1-1", to: vip(FAR), answer: "pod-2-1 sees pod-1-1" },
  { name: "VIP, the other way", from: "pod-2-2", to: vip(NEAR), answer: "pod-1-1 sees pod-2-2" },
  { name: "pod", from: "pod-1-1", to: pod("pod-2-1"), answer: "pod-2-1 sees pod-1-1" },
  {
    name: "pod, the other way",
    from: "pod-2-1",
    to: pod("pod-1-2"),
    answer: "pod-1-2 sees pod-2-1",
  },
  { name: "own NodePort", from: "pod-1-2", to: nodePort(1, FAR), answer: "pod-2-1 sees pod-1-2" },
  { name: "LB address", from: "pod-1-2", to: balancer(FAR), answer: "pod-2-1 sees pod-1-2" },
  { name: "VIP, from a node", from: "node-1", to: vip(FAR), answer: "pod-2-1 sees node-1" },
  { name: "pod, from a node", from: "node-1", to: pod("pod-2-1"), answer: "pod-2-1 sees node-1" },
];

const ON_ONE_NODE: readonly Path[] = [
  { name: "VIP", from: "pod-1-2", to: vip(NEAR), answer: "pod-1-1 sees pod-1-2" },
  { name: "pod", from: "pod-1-2", to: pod("pod-1-1"), answer: "pod-1-1 sees pod-1-2" },
  { name: "hairpin", from: "pod-1-1", to: vip(NEAR), answer: /^pod-1-1 sees / },
  { name: "VIP, from its node", from: "node-1", to: vip(NEAR), answer: /^pod-1-1 sees / },
  { name: "pod, from its node", from: "node-1", to: pod("pod-1-1"), answer: /^pod-1-1 sees / },
  {
    name: "VIP, from a pod that is not",
    from: "pod-1-3",
    to: vip(NEAR),
    answer: "pod-1-1 sees pod-1-3",
  },
  {
    name: "pod, from a pod that is not",
    from: "pod-1-3",
    to: pod("pod-1-1"),
    answer: "pod-1-1 sees pod-1-3",
  },
  { name: "pod that is not", from: "pod-1-1", to: pod("pod-1-3"), answer: "pod-1-3 sees pod-1-1" },
];

const IN_PLAINTEXT: readonly Path[] = [
  {
    name: "VIP, from a pod that is not",
    from: "pod-1-3",
    to: vip(FAR),
    answer: "pod-2-1 sees pod-1-3",
  },
  {
    name: "pod, from a pod that is not",
    from: "pod-1-3",
    to: pod("pod-2-1"),
    answer: "pod-2-1 sees pod-1-3",
  },
  {
    name: "VIP of a pod that is not",
    from: "pod-1-1",
    to: vip(PLAIN),
    answer: "pod-2-3 sees pod-1-1",
  },
  { name: "pod that is not", from: "pod-1-1", to: pod("pod-2-3"), answer: "pod-2-3 sees pod-1-1" },
  { name: "another's NodePort", from: "pod-1-1", to: nodePort(2, FAR), answer: /^pod-2-1 sees / },
  {
    name: "NodePort, from outside",
    from: "client",
    to: nodePort(1, FAR),
    answer: /^pod-2-1 sees /,
  },
  { name: "LB address, from outside", from: "client", to: balancer(FAR), answer: /^pod-2-1 sees / },
];

describe("permissive identities", () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.build({ podsPerNode: 3, exempt: ["pod-1-3", "pod-2-3"] });
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.served.serve({ number: NEAR, pods: ["pod-1-1"] });
    await mesh.served.serve({ number: PLAIN, pods: ["pod-2-3"] });
    await mesh.ready();
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  /** @returns the paths whose words could be read on the link */
  async function read(paths: readonly Path[]): Promise<readonly string[]> {
    const said = FAMILIES.flatMap((family) =>
      paths.map((path) => ({ ...path, family, word: randomBytes(12).toString("hex") })),
    );
    const wire = await mesh.captured(async () => {
      for (const { name, from, to, answer, family, word } of said) {
        const heard = await mesh.talk(from, to(mesh, family), { word });
        const what = `${family}: ${name}: ${heard}`;
        if (typeof answer === "string") assert.equal(heard, answer, what);
        else assert.match(heard, answer, what);
      }
    });
    return said
      .filter(({ word }) => wire.includes(word))
      .map(({ name, family }) => `${family} ${name}`);
  }

  test("what pods with identities say to each other crosses the link in TLS only", async () => {
    assert.deepEqual(await read(IN_TUNNEL), []);
  });

  test("what stays on a node works, and does not cross the link", async () => {
    assert.deepEqual(await read(ON_ONE_NODE), []);
  });

  test("whoever has no identity is served as ever, in plaintext", async () => {
    const names = FAMILIES.flatMap((family) => IN_PLAINTEXT.map(({ name }) => `${family} ${name}`));
    assert.deepEqual(await read(IN_PLAINTEXT), names);
  });

  test("64 MiB each way come out as they went in", async (t) => {
    const { address, port } = mesh.at("pod-2-1", "ip6");
    const argv = [process.execPath, BULK, address, String(port), String(BULK_BYTES)];
    const startMs = performance.now();
    const { playground } = mesh.served;
    const { code, stdout, stderr } = await playground.exec(mesh.pod("pod-1-1").netns, argv);
    assert.equal(code, 0, stderr);
    const [, sent, , heard] = stdout.split(" ");
    assert.equal(heard, sent);
    t.diagnostic(`${(performance.now() - startMs).toFixed(0)} ms`);
    await until("the bytes of tunnels", async () => {
      const labels = { side: "client" };
      const bytes = await mesh.metric(1, "innermesh_tunnel_received_bytes_total", labels);
      return bytes >= BULK_BYTES;
    });
  });

  test("each end counts the connections of tunnels", async () => {
    for (const [node, side] of [
      [1, "client"],
      [2, "server"],
    ] as const) {
      await until(`tunnels of node-${node}`, async () => {
        const labels = { side, result: "ok" };
        return (await mesh.metric(node, "innermesh_tunnel_connections_total", labels)) >= 8;
      });
      const denied = { side, result: "denied" };
      assert.equal(await mesh.metric(node, "innermesh_tunnel_connections_total", denied), 0);
    }
  });
});

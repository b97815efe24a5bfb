// A pod whose interface this node cannot hold to its address, a macvlan's: nobody is believed to be
// it, it stays closed, and people are told why.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { CheckReport } from "../../cli/check/checks.ts";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import type { PlaygroundNode, PlaygroundPod } from "../../playground/topology.ts";
import { makeLeaf } from "./mesh-leaf.ts";
import { Mesh, TRUST_DOMAIN } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
const REFUSED_AFTER_MS = 1_000;
/** On the node's end of what leads to the pod. */
const GATEWAYS = { ip: "169.254.9.9", ip6: "fe80::9" };
/** The agent there starts last: the socket is its own. */
const NODE = 2;
const WHY = /which is no veth; only CNIs with routed or bridged veths are supported/;

describe("a strict pod with a macvlan", () => {
  let mesh: Mesh;
  let odd: PlaygroundPod;
  let echo: EchoServers;
  let socket: string;
  before(async () => {
    socket = `/run/im-macvlan-${process.pid}.sock`;
    const flags = [`--admin-socket=${socket}`];
    mesh = await Mesh.build({ mode: "strict", podsPerNode: 2, exempt: ["pod-2-2"], flags });
    await mesh.ready();
    const { playground } = mesh.served;
    const node = playground.node(NODE);
    odd = await playground.addPod(node);
    await giveMacvlan(mesh, node, odd);
    echo = await startEchoServers(playground, [odd]);
    await mesh.putPods();
    await mesh.agent(NODE).logged(`Pod default/${odd.name}: it has no identity at`);
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await mesh?.[Symbol.asyncDispose]();
    await rm(socket, { force: true });
  });

  const run = (...words: readonly string[]) =>
    mesh.served.playground.exec(mesh.served.playground.node(NODE).netns, [LAUNCHER, ...words]);
  for (const family of FAMILIES) {
    const talk = (from: string, to: string): Promise<string> =>
      mesh.talk(from, mesh.at(to, family), { timeoutMs: REFUSED_AFTER_MS });

    test(`${family}: answers nobody, not even its node`, async () => {
      for (const from of ["pod-2-1", "pod-2-2", "pod-1-1", "node-1", `node-${NODE}`, "client"]) {
        const answer = await talk(from, odd.name);
        assert(!answer.includes("sees"), `${from}: ${answer}`);
      }
    });

    test(`${family}: is heard by nobody`, async () => {
      for (const to of ["pod-2-1", "pod-2-2", "pod-1-1"]) {
        const answer = await talk(odd.name, to);
        assert(!answer.includes("sees"), `${to}: ${answer}`);
      }
    });
  }

  test("has no certificate to show to those who dial its tunnel's port", async () => {
    const leaf = makeLeaf(mesh.material, `spiffe://${TRUST_DOMAIN}/ns/default/sa/pod-1-1`);
    const { status, bytes } = await mesh.stranger("pod-1-1", odd.name, "ip", leaf);
    assert.deepEqual([status, bytes], [0, 0]);
  });

  test("identity and check say why", async () => {
    const words = ["identity", `default/${odd.name}`, "-o=json", `--socket=${socket}`];
    const { stdout, stderr } = await run(...words);
    assert.notEqual(stdout, "", stderr);
    const { pods } = JSON.parse(stdout) as IdentityReport;
    assert.match(pods[0]?.lacks ?? "", WHY);
    const flags = ["--hostname-override=node-2", "--conntrack-max-per-core=0", "--identity=off"];
    const authority = `--certificate-authority=dir:${mesh.authority}`;
    await until("the check's words", async () => {
      const all = [...mesh.served.flags(), ...flags, authority, `--admin-socket=${socket}`];
      const { results } = JSON.parse((await run("check", "-o=json", ...all)).stdout) as CheckReport;
      const [bindings, problems] = ["identity.bindings", "identity.problems"].map((wanted) =>
        results.find(({ id }) => id === wanted),
      );
      return bindings?.status === "fail" && WHY.test(problems?.message ?? "");
    });
  });

  test("its neighbours are served as ever", async () => {
    assert.equal(await mesh.talk("pod-1-1", mesh.at("pod-2-1", "ip")), "pod-2-1 sees pod-1-1");
  });
});

/** Takes the pod's veth away; its node reaches it by a macvlan of its own beside the pod's. */
async function giveMacvlan(mesh: Mesh, node: PlaygroundNode, pod: PlaygroundPod): Promise<void> {
  const { playground } = mesh.served;
  const inside = async (netns: string, line: string): Promise<void> => {
    const { code, stderr } = await playground.exec(netns, ["ip", ...line.split(" ")]);
    assert.equal(code, 0, `${line}: ${stderr}`);
  };
  const { ip, ip6 } = pod.addresses;
  await inside(pod.netns, "link delete eth0");
  for (const line of [
    "link add par0 type veth peer name par1",
    "link set par1 up",
    "link set par0 up",
    "link add mv0 link par0 type macvlan mode bridge",
    "link set mv0 up",
    `address add ${GATEWAYS.ip}/32 dev mv0`,
    "link add mv1 link par0 type macvlan mode bridge",
    `link set mv1 netns ${pod.netns} name eth0`,
    `address add ${GATEWAYS.ip6}/64 dev mv0 nodad`,
    `route add ${ip}/32 dev mv0`,
    `route add ${ip6}/128 dev mv0`,
  ]) {
    await inside(node.netns, line);
  }
  for (const line of [
    `address add ${ip}/32 dev eth0`,
    `address add ${ip6}/128 dev eth0 nodad`,
    "link set eth0 up",
    `route add ${GATEWAYS.ip}/32 dev eth0`,
    `route add default via ${GATEWAYS.ip} dev eth0`,
    `route add default via ${GATEWAYS.ip6} dev eth0`,
  ]) {
    await inside(pod.netns, line);
  }
}

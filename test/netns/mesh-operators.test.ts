// What operators see of a mesh: `innermesh identity`, `check`, `explain` and `cleanup` beside two
// real agents.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { CheckReport } from "../../cli/check/checks.ts";
import type { ServiceReport } from "../../cli/explain/service-report.ts";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import { Mesh } from "./mesh-rig.ts";
import { until } from "./served-node.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
/** Started last: the socket is its own. */
const NODE = 2;
const SERVICE = 1;

describe("operators of a mesh", () => {
  let mesh: Mesh;
  let socket: string;
  before(async () => {
    socket = `/run/im-operators-${process.pid}.sock`;
    mesh = await Mesh.build({
      cni: "bridge",
      exempt: ["pod-2-2"],
      flags: [`--admin-socket=${socket}`],
    });
    await mesh.served.serve({ number: SERVICE, pods: ["pod-1-1", "pod-2-1"] });
    await mesh.ready();
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await rm(socket, { force: true });
  });

  const run = (...words: readonly string[]) =>
    mesh.served.playground.exec(mesh.served.playground.node(NODE).netns, [LAUNCHER, ...words]);
  const flags = (): readonly string[] => [
    ...mesh.served.flags(),
    `--hostname-override=node-${NODE}`,
    "--conntrack-max-per-core=0",
    "--identity=off",
    `--certificate-authority=dir:${mesh.authority}`,
    `--admin-socket=${socket}`,
  ];
  const identities = async (...words: readonly string[]): Promise<IdentityReport> => {
    const { code, stdout, stderr } = await run(
      "identity",
      ...words,
      "-o=json",
      `--socket=${socket}`,
    );
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as IdentityReport;
  };
  const check = async (): Promise<CheckReport> => {
    const { stdout, stderr } = await run("check", "-o=json", ...flags());
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout) as CheckReport;
  };

  test("identity tells certificates, pods with their rule and interface, roots and peers", async () => {
    const report = await identities("--peers");
    assert.equal(report.node, `node-${NODE}`);
    assert.deepEqual(
      report.identities.map(({ identity, state }) => [identity, state]),
      [
        ["spiffe://cluster.local/ns/default/sa/pod-2-1", "valid"],
        ["spiffe://cluster.local/ns/kube-system/sa/innermesh-node", "valid"],
      ],
    );
    assert.deepEqual(report.host, { identity: report.identities[1]?.identity });
    const [enrolled, exempt] = ["pod-2-1", "pod-2-2"].map((name) =>
      report.pods.find(({ pod }) => pod === `default/${name}`),
    );
    assert.match(enrolled?.rule ?? "", /permissive of Namespace default/);
    assert.equal(enrolled?.lacks, undefined);
    for (const place of enrolled?.addresses ?? []) {
      assert(place.interface !== undefined && place.isBridged);
    }
    assert.match(exempt?.rule ?? "", /=off of ServiceAccount default\/pod-2-2/);
    assert.equal(report.trust.length, 1);
    assert.equal(report.peers?.length, 4);
    assert.deepEqual(report.exposure, []);
  });

  test("identity of one pod; of one that is not there; without an agent's socket", async () => {
    const { pods } = await identities("default/pod-2-1");
    assert.deepEqual(
      pods.map(({ pod }) => pod),
      ["default/pod-2-1"],
    );
    assert.equal((await run("identity", "default/none", `--socket=${socket}`)).code, 2);
    const { code, stderr } = await run("identity", "--socket=/run/im-none.sock");
    assert.equal(code, 3);
    assert.match(stderr, /Cannot reach the node's process/);
  });

  test("check finds the mesh healthy, table by table", async () => {
    const { results } = await check();
    const ofInterest = results.filter(
      ({ id, category }) => category === "identity" || id === "agent.table",
    );
    assert.equal(ofInterest.length, 11);
    // Nobody lies here, but a pod that starts may be heard before anybody knows of it.
    const red = ofInterest.filter(({ id, status }) => status !== "ok" && id !== "identity.dropped");
    assert.deepEqual(red, []);
  });

  test("check finds a table that somebody took away", async () => {
    const { playground } = mesh.served;
    const table = ["table", "bridge", "innermesh-policy"];
    const { netns } = playground.node(NODE);
    const status = async (): Promise<string | undefined> => {
      // The agent mends it within ten seconds.
      await playground.exec(netns, ["nft", "delete", ...table]);
      return (await check()).results.find(({ id }) => id === "identity.tables")?.message;
    };
    await until("the missing table", async () => /in bridge/.test((await status()) ?? ""));
    await until("that it is back", async () => {
      return (await playground.exec(netns, ["nft", "list", ...table])).code === 0;
    });
  });

  test("explain tells that identities keep a Service out of the kernel lane", async () => {
    const name = `default/case-${SERVICE}`;
    const { code, stdout, stderr } = await run("explain", "service", name, "-o=json", ...flags());
    assert.equal(code, 0, stderr);
    const { lane, rule, pods } = JSON.parse(stdout) as ServiceReport;
    assert.deepEqual([lane, pods.length], ["l4", 2]);
    assert.match(rule, /identities to prove/);
  });

  test("cleanup takes away the tables and links of identities", async () => {
    const { netns } = mesh.served.playground.node(NODE);
    await mesh.agent(NODE).kill();
    const { code, stdout } = await run("cleanup");
    assert.equal(code, 0);
    for (const place of ["ip", "ip6", "netdev", "bridge"]) {
      assert.match(stdout, new RegExp(`removed nft table ${place} innermesh-policy\n`));
    }
    assert.match(stdout, /removed links im2, im3\n/);
    const show = (...argv: readonly string[]) => mesh.served.playground.exec(netns, argv);
    assert.doesNotMatch((await show("nft", "list", "tables")).stdout, /innermesh/);
    assert.doesNotMatch((await show("ip", "-o", "link")).stdout, /: im\d/);
    assert.match((await run("cleanup")).stdout, /nothing to remove/);
  });
});

// Every packet case, sent for real: one `innermesh node` in a namespace, senders and backends in
// others. The same table is traced without a kernel in service-proxy/plan/packet-cases.test.ts.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import { createPlayground, type Playground } from "../../playground/cluster.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import { openProbe, type Probe } from "../../playground/probe.ts";
import type { ProbeResult } from "../../playground/probe-protocol.ts";
import type { CniShape } from "../../playground/topology.ts";
import {
  caseManifests,
  entryAddress,
  nodeManifest,
  OTHER_ADDRESSES,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import {
  CASE_GROUPS,
  caseNumber,
  type CaseGroup,
  type Claim,
  type Sender,
} from "../../service-proxy/plan/packet-cases.ts";

const FAMILIES = ["ip", "ip6"] as const;
/** How Services are served, and what is sent to them. A proxy serves TCP only. */
const LANES = [
  { name: "kernel", flags: [], protocols: ["tcp", "udp"] },
  { name: "l4", flags: ["--proxy-mode=userspace"], protocols: ["tcp"] },
] as const;

type Lane = (typeof LANES)[number];

/** So many tries that missing one of two endpoints by chance is a matter of 10^-18. */
const TRIES = 60;
/** Where an answer is expected, however late on a busy machine; and where none is. */
const ANSWER_MS = 10_000;
const SILENCE_MS = 700;

for (const [cni, lane] of (["routed", "bridge"] as const).flatMap((one) =>
  LANES.map((other) => [one, other] as const),
)) {
  describe(`packet cases, sent, ${cni} pods, ${lane.name} lane`, () => {
    let rig: Rig;
    before(async () => {
      rig = await Rig.build(cni, lane);
    });
    after(() => rig[Symbol.asyncDispose]());

    for (const group of CASE_GROUPS.filter((g) => g.cni === undefined || g.cni === cni)) {
      describe(group.name, () => {
        before(() => rig.serve(group));
        after(() => rig.stop());
        group.cases.forEach((packetCase, index) => {
          test(packetCase.name, async () => {
            const ways = FAMILIES.flatMap((family) =>
              lane.protocols.map((protocol) => ({ family, protocol })),
            );
            const checks = packetCase.claims.flatMap((claim) =>
              ways.map((way) => rig.check(claim, { ...way, number: caseNumber(group, index) })),
            );
            await Promise.all(checks);
          });
        });
      });
    }
  });
}

interface Way {
  readonly number: number;
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
}

/** A playground with backends everywhere and a prober at each sender. */
class Rig implements AsyncDisposable {
  readonly #playground: Playground;
  readonly #echo: EchoServers;
  readonly #probes: ReadonlyMap<Sender, Probe>;
  readonly #directory: string;
  readonly #lane: Lane;
  #node: NodeProcess | undefined;

  constructor(playground: Playground, echo: EchoServers, directory: string, lane: Lane) {
    this.#playground = playground;
    this.#lane = lane;
    this.#echo = echo;
    this.#directory = directory;
    const places: readonly (readonly [Sender, string])[] = [
      ["pod-1-1", playground.pod(1, 1).netns],
      ["pod-1-2", playground.pod(1, 2).netns],
      ["node-1", playground.node(1).netns],
      ["client", playground.client.netns],
    ];
    this.#probes = new Map(places.map(([name, netns]) => [name, openProbe(playground, netns)]));
  }

  static async build(cni: CniShape, lane: Lane): Promise<Rig> {
    const playground = await createPlayground({ nodes: 2, podsPerNode: 2, cni });
    const node = playground.node(1);
    // The kernel spares its ICMP errors: one a second to a host. These tests want every one.
    const unlimited = ["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"];
    assert.equal((await playground.exec(node.netns, ["sysctl", "-qw", ...unlimited])).code, 0);
    for (const family of FAMILIES) {
      const other = `${OTHER_ADDRESSES[family]}/${family === "ip" ? 32 : 128}`;
      const add = ["ip", "address", "add", other, "dev", "lo"];
      assert.equal((await playground.exec(node.netns, add)).code, 0);
      await playground.routeVip(other, node);
    }
    for (const range of ["10.96.0.0/16", "fd96::/112", "203.0.113.0/24", "2001:db8:113::/112"]) {
      await playground.routeVip(range, node);
    }
    const pods = playground.nodes.flatMap(({ pods: own }) => own);
    const echo = await startEchoServers(playground, pods);
    return new Rig(playground, echo, await mkdtemp(join(tmpdir(), "innermesh-cases-")), lane);
  }

  /** Starts node-1's agent for a group, with all its Services at once. */
  async serve(group: CaseGroup): Promise<void> {
    const { nodes } = this.#playground;
    const pods = nodes.flatMap((node) => node.pods);
    const items = [
      SERVICE_CIDR_MANIFEST,
      ...nodes.map(nodeManifest),
      ...group.cases.flatMap((packetCase, index) =>
        caseManifests(packetCase, caseNumber(group, index), pods),
      ),
    ];
    const list = { apiVersion: "v1", kind: "List", items };
    await writeFile(join(this.#directory, "all.json"), JSON.stringify(list));
    const flags = [`--source=dir:${this.#directory}`, ...group.flags, ...this.#lane.flags];
    this.#node = startNode(this.#playground, this.#playground.node(1), flags);
    await this.#node.healthy();
    await this.#node.logged("Services are served");
    if (this.#lane.name === "l4" && hasAnswers(group)) await this.#node.proxying();
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
  }

  async check(claim: Claim, { number, family, protocol }: Way): Promise<void> {
    const { address, port } = entryAddress(claim.to, number, family, this.#playground.node(1));
    const probe = this.#probes.get(claim.from) ?? assert.fail(claim.from);
    const where = `${claim.from} → ${claim.to} ${address} ${protocol}`;
    const isSilent = claim.expect === "dropped" || claim.expect === "untouched";
    const target = { protocol, address, port, timeoutMs: isSilent ? SILENCE_MS : ANSWER_MS };
    const tries = typeof claim.expect === "string" ? 2 : TRIES;
    const results = await probe.tryMany(target, tries, 4);
    if (typeof claim.expect === "string") {
      for (const result of results) checkFailure(result, claim.expect, where);
      return;
    }
    const reached = new Set<string>();
    for (const result of results) {
      assert.equal(result.kind, "reply", `${where}: ${JSON.stringify(result)}`);
      if (result.kind !== "reply" || result.echo === undefined) continue;
      reached.add(result.echo.pod);
      const kept: boolean = result.echo.client === this.#addressOf(claim.from, family);
      const wanted: boolean = claim.expect.source === "kept";
      // A process of the node has the node's own address either way.
      if (claim.from !== "node-1") assert.equal(kept, wanted, `${where}: ${result.echo.client}`);
    }
    assert.deepEqual([...reached].sort(), [...claim.expect.reach].sort(), where);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    for (const probe of this.#probes.values()) await probe[Symbol.asyncDispose]();
    await this.#echo[Symbol.asyncDispose]();
    await this.#playground[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #addressOf(sender: Sender, family: Family): string {
    const { client, nodes } = this.#playground;
    const hosts = [client, ...nodes, ...nodes.flatMap((node) => node.pods)];
    return hosts.find(({ name }) => name === sender)?.addresses[family] ?? assert.fail(sender);
  }
}

function hasAnswers({ cases }: CaseGroup): boolean {
  return cases.some(({ claims }) => claims.some(({ expect }) => typeof expect !== "string"));
}

function checkFailure(
  result: ProbeResult,
  expected: "refused" | "dropped" | "untouched",
  where: string,
): void {
  const seen = `${where}: ${JSON.stringify(result)}`;
  if (expected === "refused") assert.equal(result.kind, "refused", seen);
  else if (expected === "dropped") assert.equal(result.kind, "timeout", seen);
  else assert.notEqual(result.kind, "reply", seen);
}

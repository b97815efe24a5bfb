// What surrounds the lanes, as the kernel's own tools see it: tables, rules, routes and links.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listLinks } from "../../lib/netlink/link.ts";
import { RouteSocket } from "../../lib/netlink/route-socket.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { openCommandKernel } from "../../lib/nft/nft-command.ts";
import type { Change, Family, Transaction } from "../../lib/nft/objects.ts";
import { formatTransaction } from "../../lib/nft/text.ts";
import { ensureLaneRoutes, removeLaneRoutes } from "../../service-proxy/apply/lane-routes.ts";
import { ALIVE_RENEWAL, chainChanges, transaction } from "../../service-proxy/plan/changes.ts";
import { DENIED_COUNTER } from "../../service-proxy/plan/lane-gate-rules.ts";
import { DEFAULT_LANE, LIFT_LINKS } from "../../service-proxy/plan/lane-marks.ts";
import { liftBridges, liftRemoval, liftTransactions } from "../../service-proxy/plan/lift-plan.ts";
import { demandedChains, setSpec, tableSets } from "../../service-proxy/plan/ruleset.ts";
import { enterOwnNamespace, run, sh } from "./own-namespace.ts";

const FAMILIES = ["ip", "ip6"] as const;
const NONE: ReadonlySet<number> = new Set();

enterOwnNamespace();

for (const family of FAMILIES) {
  for (const [onDead, gated] of [
    ["kernel", false],
    ["refuse", true],
  ] as const) {
    const which = `${onDead}${gated ? ", with a gate" : ""}`;
    test(`${family}: nft prints the lanes' chains as it reads them, ${which}`, async () => {
      const lane = { ...DEFAULT_LANE, onDead };
      const detector = { kind: "bridge", interface: "cni0" } as const;
      const options = {
        family,
        detector,
        lane,
        gated,
        masqueradeAll: false,
        masqueradeMark: 0x4000,
        nodePortsEverywhere: true,
      };
      const demand = { counts: NONE, affinityCounts: NONE, affinitySeconds: NONE, lane: true };
      const changes: Change[] = [
        { kind: "add-table" },
        { kind: "delete-table" },
        { kind: "add-table" },
        { kind: "add-counter", counter: DENIED_COUNTER },
        ...tableSets(options)
          .filter(({ dynamic }) => dynamic === undefined)
          .map((set): Change => ({ kind: "add-set", set })),
        ...chainChanges(demandedChains(options, demand)),
        ...(gated ? gateElements(family) : []),
        ...ALIVE_RENEWAL,
      ];
      await sameThroughBothDoors([transaction(family, changes)]);
      run("nft", "delete", "table", family, "innermesh");
    });
  }
}

test("nft prints the lift's tables as it reads them", async () => {
  sh("ip link add im0 type veth peer name im1");
  sh("ip link add cni0 type bridge");
  sh("ip link add im-port type veth peer name im-pod");
  sh("ip link set im-port master cni0");
  const links = await listLinks();
  const find = (wanted: string): (typeof links)[number] =>
    links.find(({ name }) => name === wanted) ?? assert.fail(wanted);
  const bridges = liftBridges(links);
  assert.deepEqual(
    bridges.map(({ name, ports }) => [name, ports.map((port) => port.name)]),
    [["cni0", ["im-port"]]],
  );
  const [out, into] = [find(LIFT_LINKS.out), find(LIFT_LINKS.in)];
  assert.ok(sh("ip link show dev im1").includes(`link/ether ${into.address} `));
  const entries = { ip: ["10.96.0.10 . tcp . 80"], ip6: ["fd96::10 . tcp . 80"] };
  await sameThroughBothDoors(liftTransactions({ out, in: into, bridges, entries }));
  const kernel = await openNetlinkKernel({ thread: "here" });
  await kernel.commit(liftRemoval());
  await kernel.commit(liftRemoval());
  await kernel.close();
  assert.equal(sh("nft list ruleset"), "");
  for (const link of ["im0", "cni0", "im-port"]) sh(`ip link delete ${link}`);
});

test("rules and routes are made once, as ip shows them, and removed", () => {
  assert.equal(ensureLaneRoutes(FAMILIES).length, 8);
  assert.deepEqual(ensureLaneRoutes(FAMILIES), []);
  for (const family of ["-4", "-6"]) {
    const rules = sh(`ip ${family} rule list`).split("\n");
    assert.deepEqual(
      rules.filter((line) => /^(98|99|100):/.test(line)).map((line) => line.replace(/\s+/g, " ")),
      [
        "98: from all fwmark 0x1800/0x1800 lookup 1000",
        "99: from all fwmark 0x1000/0x1000 iif lo goto 32766",
        "100: from all fwmark 0x1000/0x1000 lookup 1000",
      ],
    );
    assert.match(sh(`ip ${family} route list table 1000`), /^local default dev lo /);
  }
  assert.equal(removeLaneRoutes(FAMILIES).length, 8);
  assert.deepEqual(removeLaneRoutes(FAMILIES), []);
  assert.equal(sh("ip rule list").split("\n").length, 4);
});

test("where IPv6 is not, IPv4 has its routes", () => {
  assert.equal(ensureLaneRoutes(["ip"]).length, 4);
  assert.equal(removeLaneRoutes(FAMILIES).length, 4);
});

test("a pair of links is made once, up, and removed with both ends", async () => {
  const socket = new RouteSocket();
  assert.equal(socket.addVethPair("im0", "im1"), true);
  assert.equal(socket.addVethPair("im0", "im1"), false);
  const index = (await listLinks()).find(({ name }) => name === "im1")?.index ?? 0;
  const address = { address: "192.0.0.8", prefixLength: 32 };
  assert.equal(socket.addLinkAddress(index, address), true);
  assert.equal(socket.addLinkAddress(index, address), false);
  assert.match(sh("ip -br address show dev im1"), /UP\s+192\.0\.0\.8\/32/);
  assert.match(sh("ip -br link show dev im0"), /UP/);
  assert.equal(socket.deleteLink("im0"), true);
  assert.equal(socket.deleteLink("im0"), false);
  assert.deepEqual(
    (await listLinks()).map(({ name }) => name),
    ["lo"],
  );
  socket.close();
});

function gateElements(family: Family): readonly Change[] {
  const [client, blocks] =
    family === "ip"
      ? ["10.71.1.2", ["0:1 . 0.0.0.0/0", "0:2 . 0.0.0.0/1", "0:2 . 192.0.2.0/24"]]
      : ["fd71::2", ["0:1 . ::/0", "0:2 . ::/1", "0:2 . fd77::/16"]];
  const add = (set: string, ...keys: readonly string[]): Change => ({
    kind: "add-elements",
    set: setSpec(set),
    elements: keys.map((key) => ({ key })),
  });
  return [
    add("lane-pods", client),
    add("lane-isolated", client),
    add("lane-guarded", "0:1", "0:2"),
    add("lane-allow", `${client} . 0:1`),
    add("lane-allow-blocks", ...blocks),
  ];
}

/** What our encoder makes is what nft makes of our text. */
async function sameThroughBothDoors(transactions: readonly Transaction[]): Promise<void> {
  const listings: string[][] = [];
  for (const open of [() => openNetlinkKernel({ thread: "here" }), openCommandKernel]) {
    const kernel = await open();
    await kernel.commit(transactions);
    await kernel.close();
    const lines = sh("nft list ruleset").split("\n");
    // Its expiry ticks.
    listings.push(lines.filter((line) => !line.includes("expires")));
  }
  assert.deepEqual(listings[0], listings[1]);
  const directory = mkdtempSync(join(tmpdir(), "im-lane-"));
  try {
    const path = join(directory, "script.nft");
    writeFileSync(path, transactions.map(formatTransaction).join(""));
    run("nft", "-c", "-f", path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Link } from "../../lib/netlink/link.ts";
import { formatTransaction } from "../../lib/nft/text.ts";
import { ElementLedger } from "./element-ledger.ts";
import { liftBridges, liftEntries, liftTransactions } from "./lift-plan.ts";

const link = (index: number, name: string, kind: string, master?: number): Link => ({
  index,
  name,
  kind,
  address: `02:00:00:00:00:0${index}`,
  ...(master === undefined ? {} : { master }),
});
const LINKS = [
  link(1, "lo", ""),
  link(2, "eth0", "", 8),
  link(3, "cni0", "bridge"),
  link(4, "veth1", "veth", 3),
  link(5, "veth2", "veth", 3),
  link(6, "vxlan0", "vxlan", 3),
  link(7, "veth3", "veth"),
  link(8, "uplink", "bridge"),
];

test("only bridges with pods on them count, and of their ports only pods'", () => {
  const bridges = liftBridges(LINKS).map(({ name, ports }) => [name, ports.map((p) => p.name)]);
  assert.deepEqual(bridges, [["cni0", ["veth1", "veth2"]]]);
});

test("both tables as nft text", (t) => {
  const text = liftTransactions({
    out: link(9, "im0", "veth"),
    in: { ...link(9, "im1", "veth"), index: 10, address: "02:00:00:00:00:0a" },
    bridges: liftBridges(LINKS),
    entries: { ip: ["10.96.0.10 . tcp . 80"], ip6: ["fd96::10 . tcp . 80"] },
  })
    .map(formatTransaction)
    .join("");
  t.assert.fileSnapshot(text, join(import.meta.dirname, "testdata", "lift.nft"), {
    serializers: [(snapshot: string) => snapshot],
  });
});

test("connections come in at VIPs, and at NodePorts on every address where those answer", () => {
  const ledger = new ElementLedger();
  const owner = { name: "default/web", createdMs: 0 };
  ledger.replace(
    owner,
    [],
    [
      { set: "lane-vips", key: "10.96.0.10 . tcp . 80", data: "0:1" },
      { set: "lane-nodeports", key: "tcp . 30080", data: "0:1" },
      { set: "vips", key: "10.96.0.11 . tcp . 80", data: "0:2" },
    ],
  );
  const plan = (nodePortAddresses: readonly string[] | undefined) => ({
    ledger,
    nodePortAddresses,
    options: { family: "ip" as const },
  });
  const host = ["192.168.77.11", "fd77::b"];
  assert.deepEqual(liftEntries(plan(undefined), host), [
    "10.96.0.10 . tcp . 80",
    "192.168.77.11 . tcp . 30080",
  ]);
  assert.deepEqual(liftEntries(plan(["192.0.2.1"]), host), [
    "10.96.0.10 . tcp . 80",
    "192.0.2.1 . tcp . 30080",
  ]);
});

// What every conntrack table promises; run against the fake and against the kernel.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { AddressFamily } from "../ip/address.ts";
import type { ConntrackTable } from "./conntrack-table.ts";
import { type ConntrackEntry, protocolTcp, protocolUdp } from "./conntrack-entry.ts";

/** A table, empty at first, and a way to put flows into it. */
export interface ConntrackFixture {
  readonly table: ConntrackTable;
  readonly add: (entry: Omit<ConntrackEntry, "id">) => void;
}

/** Registers the suite; each test opens a fixture of its own. */
export function conntrackContract(name: string, open: () => ConntrackFixture): void {
  const rule = (sentence: string, body: (fixture: ConntrackFixture) => Promise<void>): void => {
    test(`${name}: ${sentence}`, async () => {
      const fixture = open();
      try {
        await body(fixture);
      } finally {
        fixture.table.close();
      }
    });
  };

  rule("an empty table lists nothing", async ({ table }) => {
    assert.deepEqual(await gather(table, "ip"), []);
  });

  rule("a list holds the flows of its family and protocol, UDP at first", async (fixture) => {
    const { table, add } = fixture;
    add(flow(1));
    add({ ...flow(2), protocol: protocolTcp });
    add(flow6(3));
    for await (const flows of table.list("ip", { protocol: protocolTcp })) {
      assert.deepEqual(
        flows.map(({ protocol }) => protocol),
        [protocolTcp],
      );
    }
    const [only, ...rest] = await gather(table, "ip");
    assert.deepEqual(rest, []);
    assert.deepEqual({ ...only, id: 0, status: 0 }, { ...flow(1), id: 0, status: 0 });
    assert.equal((await gather(table, "ip6")).length, 1);
  });

  rule("a removed flow is gone, and gone only once", async ({ table, add }) => {
    add(flow(1));
    add(flow(2));
    const [first] = await gather(table, "ip");
    assert.ok(first);
    assert.equal(await table.remove(first), "removed");
    assert.equal(await table.remove(first), "absent");
    assert.equal((await gather(table, "ip")).length, 1);
  });

  rule(
    "a later flow of the client to another endpoint survives the removal",
    async ({ table, add }) => {
      add(flow(1));
      const [first] = await gather(table, "ip");
      assert.ok(first);
      await table.remove(first);
      add({ ...flow(1), reply: { ...flow(1).reply, source: "10.244.0.6" } });
      assert.equal(await table.remove(first), "absent");
      assert.equal((await gather(table, "ip")).length, 1);
    },
  );

  rule("flows of one tuple in two zones are told apart", async ({ table, add }) => {
    add(flow(1));
    add({ ...flow(1), zone: 7, replyZone: 7 });
    const zoned = (await gather(table, "ip")).find((entry) => entry.zone === 7);
    assert.ok(zoned);
    assert.equal(await table.remove(zoned), "removed");
    assert.deepEqual(
      (await gather(table, "ip")).map((entry) => entry.zone),
      [0],
    );
  });

  rule("flows can be removed while the list is walked", async ({ table, add }) => {
    for (let i = 0; i < 1_000; i++) add(flow(i));
    let removed = 0;
    for await (const entries of table.list("ip")) {
      for (const entry of entries) if ((await table.remove(entry)) === "removed") removed++;
    }
    assert.equal(removed, 1_000);
    assert.deepEqual(await gather(table, "ip"), []);
  });

  rule("a walk can be left half-way and started again", async ({ table, add }) => {
    for (let i = 0; i < 1_000; i++) add(flow(i));
    for await (const _ of table.list("ip")) break;
    assert.equal((await gather(table, "ip")).length, 1_000);
  });
}

async function gather(table: ConntrackTable, family: AddressFamily): Promise<ConntrackEntry[]> {
  const entries: ConntrackEntry[] = [];
  for await (const slice of table.list(family)) entries.push(...slice);
  return entries;
}

function flow(number: number): Omit<ConntrackEntry, "id"> {
  const source = `10.0.${number >> 8}.${number & 255}`;
  return {
    family: "ip",
    protocol: protocolUdp,
    original: { source, destination: "10.96.0.10", sourcePort: 4_000, destinationPort: 53 },
    reply: { source: "10.244.0.5", destination: source, sourcePort: 53, destinationPort: 4_000 },
    zone: 0,
    replyZone: 0,
    status: 0,
  };
}

function flow6(number: number): Omit<ConntrackEntry, "id"> {
  const source = `fd00:1::${number}`;
  return {
    family: "ip6",
    protocol: protocolUdp,
    original: { source, destination: "fd00:96::a", sourcePort: 4_000, destinationPort: 53 },
    reply: { source: "fd00:244::5", destination: source, sourcePort: 53, destinationPort: 4_000 },
    zone: 0,
    replyZone: 0,
    status: 0,
  };
}

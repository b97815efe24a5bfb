// UDP flows as the kernel tracks them: real packets through real NAT rules, and big tables.

import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { openConntrackTable } from "../../lib/netlink/conntrack.ts";
import { conntrackContract } from "../../lib/netlink/conntrack-contract.ts";
import type { ConntrackEntry } from "../../lib/netlink/conntrack-entry.ts";
import { encodeConntrackCreate } from "../../lib/netlink/conntrack-request.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../lib/netlink/socket.ts";
import {
  type CleanupReport,
  type ConntrackCleaner,
  makeConntrackCleaner,
} from "../../service-proxy/apply/conntrack-cleaner.ts";
import { noUdpTargets, type UdpTargets } from "../../service-proxy/model/udp-targets.ts";
import { enterOwnNamespace, run, sh } from "./own-namespace.ts";

enterOwnNamespace();
sh("ip link add im-void type veth peer name im-end");
for (const link of ["im-void", "im-end"]) sh(`ip link set ${link} up`);

/** Beyond it the table is walked on a thread of its own. The limit is the whole machine's. */
const bigTable = 25_000;
const longestStallMs = 50;
/** Three times what is promised: the machine may be busy. */
const longestWaitMs = 6_000;

const netlink = NetlinkSocket.open(NETLINK_NETFILTER);

conntrackContract("kernel", () => {
  sh("conntrack -F");
  return { table: openConntrackTable(systemClock), add: create };
});

const worlds = [
  {
    family: "ip",
    client: "10.0.0.9",
    vip: "10.96.0.10",
    first: "10.244.0.5",
    second: "10.244.0.6",
  },
  {
    family: "ip6",
    client: "fd00:1::9",
    vip: "fd00:96::a",
    first: "fd00:244::5",
    second: "fd00:244::6",
  },
] as const;

for (const world of worlds) {
  test(`${world.family}: a client that never pauses reaches a new backend within 2 s`, async () => {
    await using flow = await startFlow(world);
    flow.translateTo(world.first);
    assert.equal(await flow.ask(), world.first);
    flow.translateTo(world.second);
    assert.equal(await flow.ask(), world.first, "conntrack keeps the old backend");
    const startMs = performance.now();
    flow.cleaner.request(serving(world.vip, [world.second]));
    while ((await flow.ask()) !== world.second);
    assert.ok(performance.now() - startMs < longestWaitMs);
    assert.equal(flow.removed(), 1);
  });

  test(`${world.family}: a flow that began before its Service was served is freed`, async () => {
    await using flow = await startFlow(world);
    assert.equal(await flow.ask(), undefined, "nobody answers yet");
    flow.translateTo(world.first);
    assert.equal(await flow.ask(), undefined, "conntrack keeps it untranslated");
    flow.cleaner.request(serving(world.vip, [world.first]));
    await flow.cleaned();
    assert.equal(await flow.ask(), world.first);
  });

  test(`${world.family}: flows go with the last endpoint, and with the Service`, async () => {
    await using flow = await startFlow(world);
    flow.translateTo(world.first);
    assert.equal(await flow.ask(), world.first);
    flow.cleaner.request(serving(world.vip, []));
    await flow.cleaned();
    assert.equal(flow.removed(), 1);
    assert.equal(await flow.ask(), world.first);
    flow.cleaner.request(noUdpTargets);
    await flow.cleaned();
    assert.equal(flow.removed(), 2);
  });
}

test("a table of 25,000 flows is listed and cleared without holding the event loop", async (t) => {
  sh("conntrack -F");
  for (let i = 0; i < bigTable; i++) create(numbered(i));
  const table = openConntrackTable(systemClock);
  const stalls = watchStalls();
  const startMs = performance.now();
  let listed = 0;
  for await (const entries of table.list("ip")) listed += entries.length;
  const listMs = performance.now() - startMs;
  assert.equal(listed, bigTable);
  const report = await cleanOnce(table, serving("10.96.0.10", []));
  const stallMs = stalls.stop();
  table.close();
  t.diagnostic(`list ${Math.round(listMs)} ms, clear ${Math.round(report.durationMs)} ms`);
  t.diagnostic(`longest stall ${Math.round(stallMs)} ms of CPU`);
  assert.equal(report.removed, bigTable);
  assert.ok(stallMs < longestStallMs, `stalled ${stallMs} ms`);
});

test("TCP flows of a Service are never removed, however many there are", async () => {
  sh("conntrack -F");
  for (let i = 0; i < 1_000; i++) create({ ...numbered(i), protocol: 6 });
  const table = openConntrackTable(systemClock);
  const report = await cleanOnce(table, serving("10.96.0.10", []));
  table.close();
  assert.deepEqual([report.listed, report.removed], [0, 0]);
  assert.equal(sh("conntrack -C").trim(), "1000");
});

function serving(vip: string, backends: readonly string[]): UdpTargets {
  const endpoints = new Set(backends.map((address) => `${address} . 5353`));
  return { ...noUdpTargets, addresses: new Map([[`${vip} . 53`, endpoints]]) };
}

/** Measures in CPU time of this thread, so that a busy machine does not count as a stall. */
function watchStalls(): { stop(): number } {
  let longest = 0;
  let last = cpuMs();
  let handle = setImmediate(function turn() {
    const now = cpuMs();
    longest = Math.max(longest, now - last);
    last = now;
    handle = setImmediate(turn);
  });
  return {
    stop() {
      clearImmediate(handle);
      return longest;
    },
  };
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function create(entry: Omit<ConntrackEntry, "id">): void {
  const [answer] = netlink.exchange(encodeConntrackCreate(entry, 600, 1));
  assert.deepEqual(answer?.kind === "error" ? answer.errno : answer, 0);
}

function numbered(number: number): Omit<ConntrackEntry, "id"> {
  const source = `10.0.${number >> 8}.${number & 255}`;
  return {
    family: "ip",
    protocol: 17,
    original: { source, destination: "10.96.0.10", sourcePort: 4_000, destinationPort: 53 },
    reply: {
      source: "10.244.0.5",
      destination: source,
      sourcePort: 5_353,
      destinationPort: 4_000,
    },
    zone: 0,
    replyZone: 0,
    status: 0,
  };
}

async function cleanOnce(
  table: ReturnType<typeof openConntrackTable>,
  targets: UdpTargets,
): Promise<CleanupReport> {
  const { promise, resolve, reject } = Promise.withResolvers<CleanupReport>();
  const cleaner = makeConntrackCleaner({
    table,
    clock: systemClock,
    minimumIntervalMs: 100,
    onDone: (report) => {
      if (report.family === "ip") resolve(report);
    },
    onError: reject,
  });
  cleaner.request(targets);
  const report = await promise;
  await cleaner.close();
  return report;
}

interface Flow extends AsyncDisposable {
  readonly cleaner: ConntrackCleaner;
  /** Sends one datagram, always from the same socket; undefined when nobody answers. */
  ask(): Promise<string | undefined>;
  translateTo(backend: string): void;
  /** Resolves when one more run is over. */
  cleaned(): Promise<void>;
  removed(): number;
}

/** A client, a Service address and two backends that answer with their own address. */
async function startFlow(world: (typeof worlds)[number]): Promise<Flow> {
  sh("conntrack -F");
  const { family, client, vip, first, second } = world;
  const length = family === "ip" ? 32 : 128;
  for (const address of [client, first, second]) {
    sh(`ip address replace ${address}/${length} dev lo${family === "ip6" ? " nodad" : ""}`);
  }
  // Where nothing translates it, the Service address leads into the void: nobody has that MAC.
  sh(`ip route replace ${vip}/${length} dev im-void src ${client}`);
  sh(`ip neighbour replace ${vip} lladdr 02:00:00:00:00:01 dev im-void nud permanent`);
  const nat = `add chain ${family} trial nat { type nat hook output priority -100; }`;
  // The kernel tracks flows only where a rule asks for it, and the other chain may be empty.
  const tracked = `add chain ${family} trial watch { type filter hook output priority 0; }`;
  const asks = `add rule ${family} trial watch ct state new counter`;
  run("nft", `add table ${family} trial; ${nat}; ${tracked}; ${asks}`);
  const sockets = [await open(client, 0), await open(first, 5_353), await open(second, 5_353)];
  const [asking, ...answering] = sockets;
  assert.ok(asking);
  for (const socket of answering) {
    socket.on("message", (_, from) =>
      socket.send(socket.address().address, from.port, from.address),
    );
  }
  const table = openConntrackTable(systemClock);
  let removed = 0;
  let wake = (): void => {};
  const cleaner = makeConntrackCleaner({
    table,
    clock: systemClock,
    minimumIntervalMs: 100,
    onDone: (report) => {
      removed += report.removed;
      if (report.family === "ip6") wake(); // the last of a run
    },
    onError: assert.ifError,
  });
  return {
    cleaner,
    async ask() {
      const answer = once(asking, "message", { signal: AbortSignal.timeout(200) });
      asking.send("who", 53, vip);
      return answer.then(([bytes]) => String(bytes)).catch(() => undefined);
    },
    translateTo(backend) {
      const to = family === "ip" ? `${backend}:5353` : `[${backend}]:5353`;
      const match = `${family} daddr ${vip} udp dport 53`;
      sh(`nft flush chain ${family} trial nat`);
      sh(`nft add rule ${family} trial nat ${match} dnat to ${to}`);
    },
    cleaned: () => new Promise((resolve) => (wake = resolve)),
    removed: () => removed,
    async [Symbol.asyncDispose]() {
      await cleaner.close();
      table.close();
      for (const socket of sockets) socket.close();
      sh(`nft delete table ${family} trial`);
    },
  };
}

async function open(address: string, port: number): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.bind(port, address);
  await once(socket, "listening");
  return socket;
}

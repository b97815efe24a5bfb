// The playground itself, as root: everything that other tests build on.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";

import { createPlayground, type Playground, sweepPlaygrounds } from "../../playground/cluster.ts";
import { startEchoServers } from "../../playground/echo.ts";
import { countAnswers, openProbe, type Probe } from "../../playground/probe.ts";
import type { PlaygroundHost } from "../../playground/topology.ts";

const families = ["ip", "ip6"] as const;

for (const cni of ["routed", "bridge"] as const) {
  describe(`a playground with ${cni} pods`, () => {
    test("lets every pod, node and outsider reach every pod and node from the start", async (t) => {
      const startMs = performance.now();
      await using playground = await createPlayground({ nodes: 2, podsPerNode: 2, cni });
      t.diagnostic(`built in ${Math.round(performance.now() - startMs)} ms`);
      const targets = [...playground.nodes.flatMap((node) => node.pods), ...playground.nodes];
      await using _servers = await startEchoServers(playground, targets);
      const { client, loadBalancer } = playground;
      for (const from of [playground.pod(1, 1), playground.node(1), client, loadBalancer]) {
        await using probe = openProbe(playground, from.netns);
        for (const to of targets) await assertReaches(probe, from, to);
      }
      const stopMs = performance.now();
      await playground[Symbol.asyncDispose]();
      t.diagnostic(`removed in ${Math.round(performance.now() - stopMs)} ms`);
    });

    test("adds and removes pods, and gives a removed pod's address again", async () => {
      await using playground = await createPlayground({ nodes: 1, podsPerNode: 1, cni });
      const [first, node] = [playground.pod(1, 1), playground.node(1)];
      await using servers = await startEchoServers(playground, [first]);
      await using probe = openProbe(playground, playground.client.netns);
      const second = await playground.addPod(node);
      await servers.start(second);
      await assertReaches(probe, playground.client, second);
      await servers.stop(first);
      await playground.removePod(first);
      assert.deepEqual(
        node.pods.map(({ name }) => name),
        ["pod-1-2"],
      );
      const gone = await probe.tcp(first.addresses.ip, 9090, { timeoutMs: 200 });
      assert.notEqual(gone.kind, "reply");
      const again = await playground.addPod(node, 1);
      assert.deepEqual(again, first);
      await servers.start(again);
      await assertReaches(probe, playground.client, again);
    });
  });
}

/** From the moment a playground stands: no retries, one second for an answer. */
async function assertReaches(probe: Probe, from: PlaygroundHost, to: PlaygroundHost) {
  for (const family of families) {
    const address = to.addresses[family];
    const [tcp, udp, http, closedTcp, closedUdp] = await Promise.all([
      probe.tcp(address, 9090),
      probe.udp(address, 9090),
      probe.http(address, 8080),
      probe.tcp(address, 1),
      probe.udp(address, 1),
    ]);
    const path = `${from.name} to ${to.name} by ${family}`;
    assert.deepEqual(countAnswers([tcp, udp, http]), { [to.name]: 3 }, path);
    assert.deepEqual(countAnswers([closedTcp, closedUdp]), { refused: 2 }, path);
    if (tcp.kind !== "reply" || from.name.startsWith("node")) continue; // A node has two addresses.
    assert.equal(tcp.echo?.client, from.addresses[family], path);
    assert.equal(tcp.echo?.local, `${family === "ip" ? address : `[${address}]`}:9090`, path);
  }
}

test("a VIP leads to the node it was routed to, and nowhere without a route", async () => {
  await using playground = await createPlayground({ nodes: 2, podsPerNode: 1, cni: "routed" });
  const vips = { ip: "203.0.113.9", ip6: "2001:db8:113::9" };
  // Instead of a proxy: each node owns the VIP, so whoever answers was routed to.
  for (const node of playground.nodes) {
    for (const family of families) {
      const address = `${vips[family]}/${family === "ip" ? 32 : 128}`;
      await playground.exec(node.netns, ["ip", "addr", "add", address, "dev", "lo"]);
    }
  }
  const hosts = playground.nodes.map((node) => ({ ...node, addresses: vips }));
  await using _servers = await startEchoServers(playground, hosts);
  await using fromClient = openProbe(playground, playground.client.netns);
  for (const family of families) {
    const ask = async () => countAnswers([await fromClient.tcp(vips[family], 9090)]);
    assert.deepEqual(await ask(), { unreachable: 1 });
    await playground.routeVip(vips[family], playground.node(2));
    assert.deepEqual(await ask(), { "node-2": 1 });
    await playground.routeVip(vips[family], playground.node(1));
    assert.deepEqual(await ask(), { "node-1": 1 });
    await playground.routeVip(vips[family], undefined);
    await playground.routeVip(vips[family], undefined);
    assert.deepEqual(await ask(), { unreachable: 1 });
  }
});

test("a kept connection and a load notice that their server went", async () => {
  await using playground = await createPlayground({ nodes: 1, podsPerNode: 1, cni: "routed" });
  const pod = playground.pod(1, 1);
  const target = { protocol: "tcp", address: pod.addresses.ip, port: 9090 } as const;
  await using servers = await startEchoServers(playground, [pod]);
  await using probe = openProbe(playground, playground.client.netns);
  const connection = await probe.open(target.address, target.port, { sourcePort: 40_001 });
  assert(connection.kind === "open");
  assert.equal(connection.greeting.echo?.clientPort, 40_001);
  const said = await connection.say("still there?");
  assert.equal(said.kind === "reply" && said.text, "still there?");
  const load = probe.startLoad(target, { ratePerSecond: 200, durationMs: 60_000 });
  await until(async () => (await connection.say("wait")).kind === "reply");
  await servers.stop(pod);
  assert.notEqual((await connection.say("and now?")).kind, "reply");
  assert.deepEqual(await probe.tcp(target.address, target.port), { kind: "refused" });
  await until(async () => (await probe.tryMany(target, 20)).length === 20);
  const report = await load.stop();
  assert.equal(report.started, report.answered + report.failed);
  assert(report.failed > 0);
  assert.equal(report.failures.at(-1)?.failure.kind, "refused");
});

test("a linked node reaches a server of the machine, and a pod does not", async () => {
  await using playground = await createPlayground({
    nodes: 1,
    podsPerNode: 1,
    cni: "bridge",
    hostLink: true,
  });
  const address = playground.hostAddress;
  assert(address !== undefined);
  const server = createServer((_, response) => response.end("machine")).listen(0, address);
  await once(server, "listening");
  try {
    const listening = server.address();
    assert(typeof listening === "object" && listening !== null);
    await using fromNode = openProbe(playground, playground.node(1).netns);
    await using fromPod = openProbe(playground, playground.pod(1, 1).netns);
    const answer = await fromNode.http(address, listening.port);
    assert.equal(answer.kind === "reply" && answer.text, "machine");
    const silence = await fromPod.tcp(address, listening.port, { timeoutMs: 200 });
    assert.deepEqual(silence, { kind: "timeout", phase: "connect" });
  } finally {
    server.close();
  }
});

test("playgrounds are built side by side, and none disturbs another", async () => {
  const options = { nodes: 1, podsPerNode: 1, cni: "routed", hostLink: true } as const;
  const playgrounds = await Promise.all([1, 2, 3].map(() => createPlayground(options)));
  try {
    assert.equal(new Set(playgrounds.map(({ hostAddress }) => hostAddress)).size, 3);
    await Promise.all(
      playgrounds.map(async (playground) => {
        const pod = playground.pod(1, 1);
        await using _servers = await startEchoServers(playground, [pod]);
        await using probe = openProbe(playground, playground.client.netns);
        await assertReaches(probe, playground.client, pod);
      }),
    );
  } finally {
    await Promise.all(playgrounds.map((playground) => playground[Symbol.asyncDispose]()));
  }
  assert.deepEqual(
    playgrounds.flatMap(({ prefix }) => traces(prefix)),
    [],
  );
});

test("a living playground's prefix is refused, and no sweep touches it", async () => {
  await using playground = await createPlayground({ nodes: 1, podsPerNode: 0, cni: "routed" });
  const { prefix } = playground;
  const options = { prefix, nodes: 1, podsPerNode: 0, cni: "routed" } as const;
  await assert.rejects(createPlayground(options), { code: "prefix-in-use" });
  assert.deepEqual(await sweepPlaygrounds(prefix), []);
  assert.equal((await playground.exec(playground.node(1).netns, ["true"])).code, 0);
});

test("disposing ends grandchildren, leaves no trace, and frees the prefix", async () => {
  const prefix = `im-${randomBytes(3).toString("hex")}`;
  const options = { prefix, nodes: 2, podsPerNode: 1, cni: "bridge", hostLink: true } as const;
  for (let round = 0; round < 2; round++) {
    const playground = await createPlayground(options);
    const pid = await startGrandchild(playground);
    await playground[Symbol.asyncDispose]();
    assert.deepEqual(traces(prefix), []);
    await until(() => Promise.resolve(!isRunning(pid)));
  }
});

test("a sweep removes what a killed owner left: processes, namespaces, links, claims", async () => {
  const prefix = `im-${randomBytes(3).toString("hex")}`;
  const pid = await crashAfterBuilding(prefix);
  assert.notDeepEqual(traces(prefix), []);
  assert.deepEqual(await sweepPlaygrounds(prefix), [prefix]);
  assert.deepEqual(traces(prefix), []);
  await until(() => Promise.resolve(!isRunning(pid)));
});

test("a playground can be built where a killed owner left one of the same name", async () => {
  const prefix = `im-${randomBytes(3).toString("hex")}`;
  await crashAfterBuilding(prefix);
  await using playground = await createPlayground({
    prefix,
    nodes: 1,
    podsPerNode: 1,
    cni: "routed",
  });
  assert.deepEqual(traces(prefix).toSorted(), [
    prefix,
    ...["client", "lb", "node-1", "pod-1-1", "underlay"].map((name) => `${prefix}-${name}`),
  ]);
  assert.equal((await playground.exec(playground.node(1).netns, ["true"])).code, 0);
});

/** A process whose parent, a shell in the pod, ends first: nobody but its namespace knows it. */
async function startGrandchild(playground: Playground): Promise<string> {
  const script = "sleep 1000 >/dev/null 2>&1 & echo $!";
  const { stdout } = await playground.exec(playground.pod(1, 1).netns, ["sh", "-c", script]);
  return stdout.trim();
}

/** Builds a linked playground in another process and kills that. Returns what still runs inside. */
async function crashAfterBuilding(prefix: string): Promise<string> {
  const module = new URL("../../playground/cluster.ts", import.meta.url).href;
  const options = { prefix, nodes: 2, podsPerNode: 1, cni: "bridge", hostLink: true };
  const program = `
    import { createPlayground } from ${JSON.stringify(module)};
    const playground = await createPlayground(${JSON.stringify(options)});
    const child = playground.spawn(playground.pod(1, 1).netns, ["sleep", "1000"]);
    console.log(child.pid);
    await new Promise(() => setInterval(() => {}, 1000));`;
  const argv = ["--input-type=module", "--eval", program];
  const owner = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const [pid] = await once(createInterface({ input: owner.stdout }), "line");
  owner.kill("SIGKILL");
  await once(owner, "exit");
  assert(isRunning(String(pid)));
  return String(pid);
}

/** A zombie that the machine's init has not collected yet has ended. */
function isRunning(pid: string): boolean {
  return (
    existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  );
}

/** Everything on the machine that carries the prefix. */
function traces(prefix: string): string[] {
  const directories = ["/run/netns", "/sys/class/net", "/run/innermesh-playground"];
  return directories.flatMap((path) => readdirSync(path)).filter((name) => name.includes(prefix));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!(await condition())) {
    assert(performance.now() < deadlineMs, "waited 5 s in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

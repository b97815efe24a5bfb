// The agent dies at every netlink send there is (fault F17), or the kernel refuses one (F18): each
// table is then as before or as wanted, never half; what is served is served on; the next start
// finishes the work. strace stops the process at the system call; it dies before the call is made.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import type { OpenConnection, RunningLoad } from "../../playground/probe.ts";
import { bulkManifests, FAMILIES, ServedNode, until } from "./served-node.ts";

/** More sends than there are in any of these lives. */
const MOST_SENDS = 200;
const SETTLE_LIMIT_MS = 5_000;

/** Both configurations serve Service 1; the other Services differ. */
const CONFIGURATIONS = [
  { pods: ["pod-1-2", "pod-2-1"], bulk: bulkManifests(200, 3) },
  { pods: ["pod-1-2", "pod-2-1", "pod-2-2"], bulk: bulkManifests(190, 2) },
] as const;

describe("the agent dies at a netlink send, or one fails", () => {
  let rig: ServedNode;
  /** What the tables are for each configuration, by family. */
  const wanted: (readonly string[])[] = [];
  before(async () => {
    rig = await ServedNode.build();
  });
  after(() => rig[Symbol.asyncDispose]());

  async function configure(which: number): Promise<void> {
    const { pods, bulk } = CONFIGURATIONS[which] ?? assert.fail();
    const services = [
      ...rig.manifests({ number: 1, pods }),
      ...rig.manifests({
        number: 2,
        pods,
        spec: { sessionAffinity: "ClientIP", externalTrafficPolicy: "Local" },
      }),
    ];
    await rig.put("all", [...services, ...bulk]);
  }

  /**
   * Elements and rules by family, without ids: those depend on the order of events, which differs
   * between lives. Chains that only an earlier configuration needed are left out.
   */
  async function tables(): Promise<string[]> {
    return Promise.all(
      FAMILIES.map(async (family) => {
        const table = await rig.read(family);
        if (table === null) return "none";
        const { sets, chains } = table;
        const keyed = ["esets", "ext"].flatMap((name) => sets[name] ?? []);
        const names = new Map(keyed.map(({ key, comment }) => [key, comment ?? ""]));
        for (const { key, data } of sets["aff-ep"] ?? []) {
          names.set(key, `${names.get(key.replace(/:.*/, ":0"))} ${data}`);
        }
        const text = (words = ""): string =>
          words.replaceAll(/\b[0-9a-f]+:[0-9a-f]+(?= |$)/g, (id) => names.get(id) ?? id);
        const elements = Object.entries(sets).flatMap(([name, list]) =>
          list.map(({ key, data }) => `${name} ${text(key)} : ${text(data)}`),
        );
        const rules = Object.entries(chains)
          .filter(([name]) => !/^(mod|aff)-\d/.test(name))
          .map(([name, list]) => `${name} { ${list.join("; ")} }`);
        return [...elements.sort(), ...rules].join("\n");
      }),
    );
  }

  /** Which configuration each family's table is, as in `0 1`. */
  async function state(): Promise<string> {
    const now = await tables();
    const which = now.map((text, family) => {
      if (text === "none") return "none";
      const found = wanted.findIndex((texts) => texts[family] === text);
      assert.ok(found >= 0, `the table of ${FAMILIES[family]} is half:\n${text}`);
      return String(found);
    });
    return which.join(" ");
  }

  async function settled(which: number): Promise<void> {
    await until(`configuration ${which}`, async () => {
      const now = await tables();
      return now.every((text, family) => text === wanted[which]?.[family]);
    });
  }

  /** Learns what each configuration looks like, from lives that nothing disturbs. */
  async function learn(): Promise<void> {
    for (const which of CONFIGURATIONS.keys()) {
      await configure(which);
      await rig.start();
      wanted.push(await tables());
      await rig.agent.kill();
      await rig.run("nft", "flush", "ruleset");
    }
  }

  function startLoad(): RunningLoad {
    const { address, port } = rig.address("cluster", 1, "ip");
    const target = { protocol: "tcp", address, port } as const;
    return rig.probe("client").startLoad(target, { ratePerSecond: 50, durationMs: 600_000 });
  }

  async function connect(): Promise<OpenConnection> {
    const { address, port } = rig.address("nodePort", 1, "ip6");
    const connection = await rig.probe("client").open(address, port);
    assert.equal(connection.kind, "open");
    return connection.kind === "open" ? connection : assert.fail();
  }

  async function lostNothing(load: RunningLoad, kept: OpenConnection): Promise<void> {
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.ok(report.answered > 0);
    const answer = await kept.say("still there?");
    assert.equal(answer.kind === "reply" && answer.text, "still there?");
  }

  /** Starts an agent whose commit thread dies before its send number `when`. */
  async function startDoomed(when: number): Promise<NodeProcess> {
    const agent = startNode(rig.playground, rig.node, rig.flags());
    let thread: number | undefined;
    await until("the commit thread", () => {
      thread = commitThread(agent.pid);
      return thread !== undefined;
    });
    await inject([`-p`, String(thread)], `sendto:signal=KILL:when=${when}`, thread ?? 0);
    return agent;
  }

  /** @returns whether it died; else it serves, and is ended here */
  async function diesOrServes(agent: NodeProcess): Promise<boolean> {
    const isDead = (): boolean => !isAlive(agent.pid);
    const isServing = (): boolean => agent.log.some((line) => line.includes("Services are served"));
    await until("its death or its work", () => isDead() || isServing());
    await delay(isDead() ? 0 : 30); // What follows the first sync sends as well.
    const died = isDead();
    await agent.kill();
    return died;
  }

  test("at a cold start every table is there whole or not at all", async (t) => {
    await learn();
    await configure(0);
    const seen = new Set<string>();
    let when = 1;
    for (; when < MOST_SENDS; when++) {
      const died = await diesOrServes(await startDoomed(when));
      seen.add(await state());
      if (!died) break;
      await rig.run("nft", "flush", "ruleset");
    }
    t.diagnostic(`${when - 1} sends; seen: ${[...seen].join(", ")}`);
    assert.deepEqual([...seen].sort(), ["0 0", "0 none", "none none"]);
  });

  test("at a take-over every table is as before or as wanted, and nothing is lost", async (t) => {
    const [load, kept] = [startLoad(), await connect()];
    const seen = new Set<string>();
    let current = 0;
    let when = 1;
    for (; when < MOST_SENDS; when++) {
      const next = 1 - current;
      await configure(next);
      const died = await diesOrServes(await startDoomed(when));
      const found = await state();
      seen.add(found.replaceAll(String(current), "old").replaceAll(String(next), "new"));
      if (found === `${next} ${next}`) current = next;
      else if (found !== `${current} ${current}`) {
        await rig.start();
        await settled(next);
        await rig.agent.kill();
        current = next;
      }
      if (!died) break;
    }
    t.diagnostic(`${when - 1} sends; seen: ${[...seen].join(", ")}`);
    assert.deepEqual([...seen].sort(), ["new new", "new old", "old old"]);
    await lostNothing(load, kept);
  });

  test("threads that only read change nothing when they die", async (t) => {
    const [load, kept] = [startLoad(), await connect()];
    const before = await state();
    let deaths = 0;
    for (let when = 1; when < MOST_SENDS; when++) {
      const words = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=sendto"];
      const child = spawnTraced(rig, [...words, "-e", `inject=sendto:signal=KILL:when=${when}`]);
      const { address, port } = { address: "127.0.0.1", port: 10256 };
      const probe = rig.probe("node-1");
      let isHealthy = false;
      await until("its death or its work", async () => {
        const answer = await probe.http(address, port, { path: "/healthz", timeoutMs: 200 });
        isHealthy = answer.kind === "reply" && answer.status === 200;
        return isHealthy || hasEnded(child);
      });
      await endTraced(child);
      assert.equal(await state(), before);
      if (isHealthy) break;
      deaths++;
    }
    t.diagnostic(`${deaths} deaths`);
    assert.ok(deaths > 10);
    await lostNothing(load, kept);
  });

  test("at an update both tables change together or not at all", async (t) => {
    const [load, kept] = [startLoad(), await connect()];
    const seen = new Set<string>();
    let current = Number((await state()).split(" ")[0]);
    let when = 1;
    for (; when < MOST_SENDS; when++) {
      await configure(current);
      const agent = await rig.start();
      const thread = commitThread(agent.pid) ?? assert.fail("no commit thread");
      const strace = await inject(
        ["-p", String(thread)],
        `sendto:signal=KILL:when=${when}`,
        thread,
      );
      const next = 1 - current;
      await configure(next);
      const isDone = async (): Promise<boolean> => (await state()) === `${next} ${next}`;
      await until("its death or its work", async () => !isAlive(agent.pid) || (await isDone()));
      await delay(100); // It reads back what it wrote.
      const died = !isAlive(agent.pid);
      const found = await state();
      seen.add(found.replaceAll(String(current), "old").replaceAll(String(next), "new"));
      await agent.kill();
      await ended(strace);
      if (found === `${next} ${next}`) current = next;
      if (!died) break;
    }
    t.diagnostic(`${when - 1} sends; seen: ${[...seen].join(", ")}`);
    assert.deepEqual([...seen].sort(), ["new new", "old old"]);
    await lostNothing(load, kept);
  });

  for (const [call, codes] of [
    ["sendto", ["ENOBUFS", "ENOMEM", "EINTR", "EBUSY"]],
    ["recvfrom", ["ENOBUFS", "EINTR"]],
  ] as const) {
    for (const code of codes) {
      test(`${code} from ${call} at any moment of an update delays it and no more`, async () => {
        const [load, kept] = [startLoad(), await connect()];
        let current = Number((await state()).split(" ")[0]);
        const agent = await rig.start();
        for (let when = 1; when <= 6; when++) {
          const thread = commitThread(agent.pid) ?? assert.fail("no commit thread");
          const strace = await inject(
            ["-p", String(thread)],
            `${call}:error=${code}:when=${when}`,
            thread,
          );
          current = 1 - current;
          await configure(current);
          const isDone = async (): Promise<boolean> => (await state()) === `${current} ${current}`;
          await until(`configuration ${current}`, isDone, SETTLE_LIMIT_MS);
          strace.kill("SIGKILL"); // It lets go of what it traced.
          await ended(strace);
        }
        assert.ok(isAlive(agent.pid));
        await agent.stop();
        await lostNothing(load, kept);
      });
    }
  }

  test("an error at any moment of a start delays it and no more", async () => {
    const [load, kept] = [startLoad(), await connect()];
    let current = Number((await state()).split(" ")[0]);
    for (const when of [1, 2, 4, 6, 10, 20]) {
      current = 1 - current;
      await configure(current);
      const agent = startNode(rig.playground, rig.node, rig.flags());
      await until("the commit thread", () => commitThread(agent.pid) !== undefined);
      const what = `sendto:error=ENOBUFS:when=${when}`;
      const strace = await inject(["-f", "-p", String(agent.pid)], what, agent.pid);
      // Each read has a thread and so a count of its own: without an end it would fail for ever.
      const hasFailed = (): boolean => agent.log.some((line) => line.includes(" ERROR "));
      const isDone = async (): Promise<boolean> => (await state()) === `${current} ${current}`;
      await until("an error, or its work", async () => hasFailed() || (await isDone()));
      strace.kill("SIGKILL");
      await ended(strace);
      // It may end at once, with a reason, if it cannot open nf_tables at all: it starts again.
      await until("its end or its work", async () => !isAlive(agent.pid) || (await isDone()));
      if (!isAlive(agent.pid)) await rig.start();
      await settled(current);
      await agent.kill();
      await rig.agent.kill();
    }
    await lostNothing(load, kept);
  });

  /** Attaches strace to a running process and waits until it holds it. */
  async function inject(whom: string[], what: string, task: number): Promise<ChildProcess> {
    const words = ["-qq", "-o", "/dev/null", "-e", `trace=${what.split(":")[0]}`];
    const argv = [...words, "-e", `inject=${what}`, ...whom];
    const strace = spawn("strace", argv, { stdio: ["ignore", "inherit", "inherit"] });
    await until("strace", () => !/^TracerPid:\t0$/m.test(statusOf(task)));
    return strace;
  }
});

/** The first worker thread is the one that commits; those after it read. */
function commitThread(pid: number): number | undefined {
  const tasks = readdirSync(`/proc/${pid}/task`).map(Number);
  return tasks
    .sort((a, b) => a - b)
    .find((task) => /^Name:\tWorkerThread$/m.test(statusOf(`${pid}/task/${task}`)));
}

/** "" when it has ended. */
function statusOf(task: number | string): string {
  try {
    return readFileSync(`/proc/${task}/status`, "utf8");
  } catch {
    return "";
  }
}

function isAlive(pid: number): boolean {
  return /^State:\t[^ZX]/m.test(statusOf(pid));
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function ended(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) await once(child, "exit");
}

/** Starts the agent under strace, from its first system call on. */
function spawnTraced(rig: ServedNode, words: readonly string[]): ChildProcess {
  const launcher = new URL("../../bin/innermesh", import.meta.url).pathname;
  const flags = ["--hostname-override=node-1", "--conntrack-max-per-core=0", ...rig.flags()];
  const argv = ["strace", ...words, launcher, "node", ...flags];
  return rig.playground.spawn(rig.node.netns, argv, { stdio: "ignore" });
}

/** Ends the agent, and with it the strace around it. */
async function endTraced(strace: ChildProcess): Promise<void> {
  if (hasEnded(strace)) return;
  const children = readFileSync(`/proc/${strace.pid}/task/${strace.pid}/children`, "utf8");
  for (const pid of children.split(" ").filter(Boolean)) process.kill(Number(pid), "SIGKILL");
  await ended(strace);
}

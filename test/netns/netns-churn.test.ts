// Pods come and go by the hundred (fault F38): each brings a namespace, a link and addresses to the
// node, whose agent follows them without leaking, spinning or serving anybody worse.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runCommand } from "../../playground/command.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const SOAK = process.env["INNERMESH_SOAK"] === "1";
const NAMESPACES = SOAK ? 30_000 : 200;
/** Made by one `ip` and removed by the next. */
const AT_ONCE = 25;
const BATCH_MS = 250;
/** Of the time that the churn takes. */
const CPU_SHARE_LIMIT = 0.5;
const TICKS_PER_SECOND = 100;

describe("namespaces come and go", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.serve({
      number: 1,
      pods: ["pod-1-2", "pod-2-1"],
      spec: { externalTrafficPolicy: "Local", healthCheckNodePort: 32_001 },
    });
    await rig.start("--nodeport-addresses=192.168.77.0/24,fd77::/64");
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Makes namespaces wired to the node as pods are, with an address at each end; removes them. */
  async function churn(first: number): Promise<void> {
    const numbers = Array.from({ length: AT_ONCE }, (_, i) => first + i);
    const name = (n: number): string => `${rig.playground.prefix}-churn-${n}`;
    const make = numbers.flatMap((n) => [
      `netns add ${name(n)}`,
      `link add churn${n} netns ${rig.node.netns} type veth peer name eth0 netns ${name(n)}`,
    ]);
    await ip(make);
    await ip(
      numbers.flatMap((n) => [
        `link set churn${n} up`,
        `address add 169.254.${n % 250}.1/32 dev churn${n}`,
        `address add fd99::${n.toString(16)}/128 dev churn${n} nodad`,
      ]),
      ["-n", rig.node.netns],
    );
    await ip(
      numbers.map((n) => `link delete churn${n}`),
      ["-n", rig.node.netns],
    );
    await ip(numbers.map((n) => `netns delete ${name(n)}`));
  }

  const ip = async (lines: readonly string[], options: readonly string[] = []): Promise<void> => {
    const input = `${lines.join("\n")}\n`;
    const { code, stderr } = await runCommand(["ip", ...options, "-batch", "-"], { input });
    assert.equal(code, 0, stderr);
  };

  interface Usage {
    readonly descriptors: number;
    readonly threads: number;
    readonly listeners: string;
    readonly cpuSeconds: number;
    readonly nodePorts: string;
  }

  async function usage(): Promise<Usage> {
    const { pid } = rig.agent;
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    const nodePorts = FAMILIES.map((family) => rig.elements(family, "nodeport-ips"));
    return {
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      threads: readdirSync(`/proc/${pid}/task`).length,
      listeners: await rig.run("ss", "-Hltun"),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      nodePorts: (await Promise.all(nodePorts)).join("\n"),
    };
  }

  test("nothing leaks, nothing spins, NodePorts and connections are as before", async (t) => {
    await delay(500); // Until what a start brings along is over.
    const before = await usage();
    const { address, port } = rig.address("nodePort", 1, "ip");
    const target = { protocol: "tcp", address, port } as const;
    const load = rig
      .probe("client")
      .startLoad(target, { ratePerSecond: 50, durationMs: 3_600_000, timeoutMs: 3_000 });
    const startMs = performance.now();
    for (let first = 0; first < NAMESPACES; first += AT_ONCE) {
      const turnMs = performance.now();
      await churn(first);
      await delay(Math.max(0, BATCH_MS - (performance.now() - turnMs)));
    }
    const seconds = (performance.now() - startMs) / 1000;
    const report = await load.stop();
    await until("descriptors and threads as before", async () => {
      const { descriptors, threads } = await usage();
      return descriptors <= before.descriptors && threads <= before.threads;
    });
    const after = await usage();
    const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
    t.diagnostic(
      `${Math.round(NAMESPACES / seconds)} namespaces a second; ` +
        `the agent took ${((100 * cpuSeconds) / seconds).toFixed(1)} % of a core`,
    );
    assert.deepEqual(report.failures, []);
    assert.equal(after.listeners, before.listeners);
    assert.equal(after.nodePorts, before.nodePorts);
    assert.ok(cpuSeconds < CPU_SHARE_LIMIT * seconds, `${cpuSeconds} s of ${seconds} s`);
    assert.equal((await rig.agent.get(10256, "/healthz")).status, 200);
  });
});

// `innermesh check` on a node that really is well, and then really is broken, one thing at a time;
// and `innermesh explain` beside its kernel. Needs root, ip and nft. The node is a network namespace
// with a real agent in it.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { CheckReport, CheckResult } from "../../cli/check/checks.ts";
import type { ServiceReport } from "../../cli/explain/service-report.ts";
import { run } from "./own-namespace.ts";

const NETNS = `im-check-${process.pid}`;
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];
const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const START_LIMIT_MS = 20_000;

const OBJECTS = [
  {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "node-1" },
    spec: { podCIDRs: ["10.71.1.0/24"] },
    status: { addresses: [{ type: "InternalIP", address: "192.0.2.11" }] },
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "kubernetes" },
    spec: { cidrs: ["10.96.0.0/16"] },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: {
      type: "NodePort",
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10"],
      sessionAffinity: "ClientIP",
      ports: [{ name: "http", port: 80, nodePort: 30_080 }],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "proxied", namespace: "default", labels: { "innermesh.io/lane": "l4" } },
    spec: {
      clusterIP: "10.96.0.11",
      clusterIPs: ["10.96.0.11"],
      ports: [{ name: "http", port: 80 }],
    },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "proxied-1",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "proxied" },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: [{ addresses: ["10.71.1.2"], nodeName: "node-1" }],
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "web-1",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: [{ addresses: ["10.71.1.2"], nodeName: "node-1" }, { addresses: ["10.71.2.2"] }],
  },
];

interface Checked {
  readonly code: number;
  readonly report: CheckReport;
}

suite("innermesh check", () => {
  const directory = mkdtempSync(join(tmpdir(), "im-check-"));
  const flags = [
    `--source=dir:${directory}`,
    "--hostname-override=node-1",
    "--detect-local-mode=NodeCIDR",
    "--conntrack-max-per-core=0", // writable in the machine's own namespace only
    "--audit-period=1h", // what is broken here stays broken
    `--admin-socket=${join(directory, "node.sock")}`,
  ];
  let agent: ChildProcess;

  before(async () => {
    run("ip", "netns", "add", NETNS);
    inside("ip link set lo up");
    inside("ip link add eth0 type veth peer name eth1");
    inside("ip address add 192.0.2.11/24 dev eth0");
    inside("ip link set eth0 up");
    inside("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0");
    inside("sysctl -qw net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    inside("sysctl -qw net.ipv4.conf.eth1.rp_filter=0");
    writeFileSync(
      join(directory, "objects.json"),
      JSON.stringify({ kind: "List", items: OBJECTS }),
    );
    agent = spawnInside(process.execPath, [...NODE_FLAGS, MAIN, "node", ...flags]);
    const deadlineMs = Date.now() + START_LIMIT_MS;
    const isSettled = async (): Promise<boolean> => {
      const checked = await check(flags);
      const both = ["agent.table", "lane.workers"].map((id) => resultOf(checked, id).status);
      return both.every((status) => status === "ok");
    };
    while (!(await isSettled())) {
      assert(Date.now() < deadlineMs && agent.exitCode === null, "the agent does not start");
      await delay(200);
    }
  });
  after(async () => {
    await end(agent);
    run("ip", "netns", "delete", NETNS);
    rmSync(directory, { recursive: true });
  });

  /** Breaks something, looks, and mends it. @returns what the check says meanwhile */
  async function broken(id: string, breakIt: string, mendIt: string): Promise<CheckResult> {
    inside(breakIt);
    try {
      return resultOf(await check(flags), id);
    } finally {
      inside(mendIt);
    }
  }

  test("a healthy node has no check that warns or fails, and no probe is left behind", async () => {
    const { code, report } = await check(flags);
    const red = report.results.filter(({ status }) => status === "warn" || status === "fail");
    assert.deepEqual(red, []);
    assert.equal(code, 0);
    assert(!inside("nft list tables").includes("innermesh-check"));
  });

  test("explain on the node itself shows the set ids that its kernel has", () => {
    const words = [MAIN, "explain", "service", "default/web", "--output=json", ...flags];
    const output = run("ip", "netns", "exec", NETNS, process.execPath, ...NODE_FLAGS, ...words);
    const report = JSON.parse(output) as ServiceReport;
    assert.equal(report.idsFrom, "kernel");
    const listing = inside("nft list map ip innermesh esets");
    const sets = report.ports.flatMap(({ sets: all }) => all);
    const cluster = sets.find(({ role }) => role === "cluster-affinity");
    assert.match(listing, new RegExp(`${cluster?.id} comment "default/web:http/tcp cluster-aff`));
  });

  const breaks: readonly (readonly [id: string, status: string, breakIt: string, mend: string])[] =
    [
      [
        "node.ipv4-forwarding",
        "fail",
        "sysctl -qw net.ipv4.ip_forward=0",
        "sysctl -qw net.ipv4.ip_forward=1",
      ],
      [
        "node.route-localnet",
        "fail",
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
        "sysctl -qw net.ipv4.conf.all.route_localnet=0",
      ],
      [
        "node.rp-filter",
        "warn",
        "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
        "sysctl -qw net.ipv4.conf.eth0.rp_filter=0",
      ],
      [
        "node.port-range",
        "warn",
        "sysctl -qw net.ipv4.ip_local_port_range=20000\t60999",
        "sysctl -qw net.ipv4.ip_local_port_range=32768\t60999",
      ],
      [
        "node.conntrack-limits",
        "warn",
        "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close_wait=60",
        "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close_wait=3600",
      ],
      [
        "node.address",
        "fail",
        "ip address del 192.0.2.11/24 dev eth0",
        "ip address add 192.0.2.11/24 dev eth0",
      ],
      [
        "node.foreign-drops",
        "warn",
        "nft add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy drop; }",
        "nft delete table inet fw",
      ],
      [
        "lane.input-drops",
        "warn",
        "nft add table inet fw; add chain inet fw i { type filter hook input priority 0; policy drop; }; add rule inet fw i iifname lo accept",
        "nft delete table inet fw",
      ],
      [
        "lane.source-ports",
        "warn",
        "sysctl -qw net.ipv4.ip_local_port_range=20000\t60999",
        "sysctl -qw net.ipv4.ip_local_port_range=32768\t60999",
      ],
      [
        "lane.migrate-requests",
        "warn",
        "sysctl -qw net.ipv4.tcp_migrate_req=0",
        "sysctl -qw net.ipv4.tcp_migrate_req=1",
      ],
      [
        "kube-proxy.rules",
        "fail",
        "nft add table ip6 kube-proxy; add chain ip6 kube-proxy services",
        "nft delete table ip6 kube-proxy",
      ],
      [
        "kube-proxy.rules",
        "fail",
        "iptables-nft -t nat -N KUBE-SERVICES",
        "iptables-nft -t nat -X KUBE-SERVICES",
      ],
      [
        "agent.table",
        "fail",
        "nft add element ip innermesh cluster-ips { 10.96.9.9 }",
        "nft delete element ip innermesh cluster-ips { 10.96.9.9 }",
      ],
      [
        "agent.table",
        "fail",
        "nft add rule ip innermesh forward accept",
        "nft flush chain ip innermesh forward; add rule ip innermesh forward ct state new",
      ],
    ];
  for (const [id, status, breakIt, mend] of breaks) {
    test(`${id} turns red by: ${breakIt}`, async () => {
      const result = await broken(id, breakIt, mend);
      assert.equal(result.status, status, result.message);
    });
  }

  test("a bridge of pods that bypasses netfilter is found", async () => {
    const result = await broken(
      "node.bridge-netfilter",
      existsSync("/proc/sys/net/bridge")
        ? "ip link add cni0 type bridge; sysctl -qw net.bridge.bridge-nf-call-iptables=0; ip link set eth1 master cni0"
        : "ip link add cni0 type bridge; ip link set eth1 master cni0",
      "ip link delete cni0",
    );
    assert.equal(result.status, "fail", result.message);
  });

  test("a kube-proxy that runs in this namespace is found, before an install without alarm", async () => {
    const program = join(directory, "kube-proxy");
    copyFileSync(run("which", "sleep").trim(), program);
    const process = spawnInside(program, ["60"]);
    try {
      assert.equal(resultOf(await check(flags), "kube-proxy.process").status, "fail");
      assert.equal(resultOf(await check(flags, true), "kube-proxy.process").status, "ok");
    } finally {
      await end(process);
      rmSync(program);
    }
  });

  test("a dead agent fails the agent's checks; before an install it is not missed", async () => {
    await end(agent);
    inside("nft delete table ip innermesh");
    inside("ip rule del preference 99");
    inside("ip -6 route flush table 1000");
    const { code, report } = await check(flags);
    const red = report.results.filter(({ status }) => status === "fail").map(({ id }) => id);
    const expected = ["owner", "livez", "healthz", "proxy-mode", "table"];
    assert.deepEqual(red, [...expected.map((name) => `agent.${name}`), "lane.routes"]);
    assert.match(resultOf({ code, report }, "lane.routes").message, /ip rule 99, ip6 route/);
    assert.equal(code, 1);
    // Workers that lost their parent hold their ports for a few seconds more.
    const deadlineMs = Date.now() + START_LIMIT_MS;
    const pre = (): Promise<Checked> => check(flags, true);
    while (resultOf(await pre(), "lane.listen-ports").status !== "ok") {
      assert(Date.now() < deadlineMs, "workers hold their ports for ever");
      await delay(200);
    }
    assert.equal((await pre()).code, 0);
  });

  test("without a privilege and without a source nothing can be asked: exit code 3", async () => {
    const { code, report } = await check(["--source=dir:/nonexistent"], false, 65_534);
    assert.equal(code, 3);
    assert.equal(resultOf({ code, report }, "privileges.net-admin").status, "fail");
  });
});

function resultOf({ report }: Checked, id: string): CheckResult {
  return report.results.find((result) => result.id === id) ?? assert.fail(`no check ${id}`);
}

/** Runs commands in the namespace; what follows a semicolon goes to the same program. */
function inside(line: string): string {
  if (line.startsWith("nft ")) return run("ip", "netns", "exec", NETNS, "nft", line.slice(4));
  const commands = line.split("; ").map((command) => command.split(" "));
  return commands.map((words) => run("ip", "netns", "exec", NETNS, ...words)).join("");
}

function spawnInside(program: string, words: readonly string[]): ChildProcess {
  return spawn("nsenter", [`--net=/run/netns/${NETNS}`, "--", program, ...words], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function check(flags: readonly string[], pre = false, uid?: number): Promise<Checked> {
  const user = uid === undefined ? [] : ["setpriv", `--reuid=${uid}`, "--clear-groups"];
  const verb = ["check", "--output=json", ...(pre ? ["--pre"] : []), ...flags];
  const node = [process.execPath, ...NODE_FLAGS, MAIN, ...verb];
  const words = ["netns", "exec", NETNS, ...user, ...node];
  return new Promise((resolve, reject) => {
    execFile("ip", words, (error, stdout, stderr) => {
      try {
        const report = JSON.parse(stdout) as CheckReport;
        resolve({ code: typeof error?.code === "number" ? error.code : 0, report });
      } catch (cause) {
        reject(new Error(`Cannot read what check says: ${stderr}${stdout}`, { cause }));
      }
    });
  });
}

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parseNodeFlags } from "../config/node-flags.ts";
import { applySysctls, type KernelValues, planSysctls, readKernelValues } from "./sysctl.ts";

const NETFILTER = "proc/sys/net/netfilter";

function plan(argv: readonly string[], cpuCount: number, current: KernelValues = {}) {
  const { settings } = parseNodeFlags(argv, () => "");
  return planSysctls(settings, cpuCount, current);
}

function values(argv: readonly string[], cpuCount: number, current: KernelValues = {}) {
  return Object.fromEntries(plan(argv, cpuCount, current).map(({ file, value }) => [file, value]));
}

test("by default conntrack grows, timeouts are kube-proxy's, the OOM killer looks away", () => {
  assert.deepEqual(values([], 2), {
    conntrackMax: 131_072,
    tcpEstablished: 86_400,
    tcpCloseWait: 3_600,
    hashSize: 32_768,
    oomScore: -999,
    tcpMigrateReq: 1,
    tcpMtuProbing: 1,
  });
});

const limits: readonly (readonly [string[], number, number | undefined])[] = [
  [[], 1, 131_072],
  [[], 8, 262_144],
  [[], 64, 1_048_576],
  [["--conntrack-max-per-core=100", "--conntrack-min=0"], 3, 300],
  [["--conntrack-max-per-core=0"], 64, undefined],
  [["--conntrack-min=2000000"], 2, 2_000_000],
];
for (const [argv, cpuCount, limit] of limits) {
  test(`with ${argv.join(" ") || "defaults"} on ${cpuCount} CPUs the limit is ${limit}`, () => {
    assert.equal(values(argv, cpuCount)["conntrackMax"], limit);
  });
}

test("what already stands is not written", () => {
  const current = {
    conntrackMax: 131_072,
    hashSize: 65_536,
    tcpEstablished: 86_400,
    tcpCloseWait: 3_600,
    oomScore: -999,
    tcpMigrateReq: 1,
    tcpMtuProbing: 1,
  };
  assert.deepEqual(plan([], 2, current), []);
});

test("a limit is lowered too, but the hash table only ever grows", () => {
  const current = { conntrackMax: 999_999, hashSize: 262_144 };
  assert.equal(values([], 2, current)["conntrackMax"], 131_072);
  assert.equal("hashSize" in values([], 2, current), false);
});

test("zero leaves a timeout alone, and what is set is rounded down to seconds", () => {
  const off = ["--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"];
  const set = ["--conntrack-udp-timeout=1500ms", "--conntrack-udp-timeout-stream=2m"];
  const { tcpEstablished, tcpCloseWait, udp, udpStream } = values([...off, ...set], 2);
  assert.deepEqual([tcpEstablished, tcpCloseWait, udp, udpStream], [undefined, undefined, 1, 120]);
});

test("be-liberal is switched on when asked for and otherwise left alone", () => {
  assert.equal(values(["--conntrack-tcp-be-liberal"], 2)["tcpBeLiberal"], 1);
  assert.equal("tcpBeLiberal" in values([], 2, { tcpBeLiberal: 1 }), false);
});

test("with lanes, probing for a path's MTU is switched on, and left alone where it is on already", () => {
  for (const [now, wanted] of [
    [0, 1],
    [1, undefined],
    [2, undefined],
  ] as const) {
    assert.equal(values([], 2, { tcpMtuProbing: now })["tcpMtuProbing"], wanted);
  }
  assert.equal("tcpMtuProbing" in values(["--proxy-mode=kernel"], 2), false);
});

test("with identities, what is forwarded is not looked up among the sockets of this node", () => {
  assert.equal(values(["--identity=off"], 2, { tcpEarlyDemux: 1 })["tcpEarlyDemux"], 0);
  assert.equal("tcpEarlyDemux" in values([], 2, { tcpEarlyDemux: 1 }), false);
});

test("the plan is written to the files, and read back there is nothing left to do", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "sysctl-"));
  t.after(() => rm(root, { recursive: true }));
  await fill(root, { nf_conntrack_max: 1, nf_conntrack_tcp_timeout_close_wait: 60 });
  await place(root, "sys/module/nf_conntrack/parameters/hashsize", "1024");
  await place(root, "proc/self/oom_score_adj", "0");
  await place(root, "proc/sys/net/ipv4/tcp_migrate_req", "0");
  await place(root, "proc/sys/net/ipv4/tcp_mtu_probing", "0");
  await fill(root, { nf_conntrack_tcp_timeout_established: 432_000 });
  const before = await readKernelValues(root);
  assert.equal(before.tcpCloseWait, 60);
  assert.deepEqual(await applySysctls(plan([], 2, before), root), []);
  const path = join(root, NETFILTER, "nf_conntrack_tcp_timeout_close_wait");
  assert.equal(await readFile(path, "utf8"), "3600");
  assert.deepEqual(plan([], 2, await readKernelValues(root)), []);
});

test("a required setting that cannot be had is fatal, and says what to do", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "sysctl-"));
  t.after(() => rm(root, { recursive: true }));
  await assert.rejects(applySysctls(plan([], 2), root), {
    name: "SysctlError",
    code: "ENOENT",
    message:
      "Cannot set /proc/sys/net/netfilter/nf_conntrack_max to 131072: ENOENT, load the kernel " +
      "module nf_conntrack; or set --conntrack-max-per-core to 0 to leave it alone",
  });
});

test("an OOM score that cannot be had is only a warning", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "sysctl-"));
  t.after(() => rm(root, { recursive: true }));
  const only = plan([], 2).filter((write) => write.file === "oomScore");
  const [warning] = await applySysctls(only, root);
  assert.match(warning?.message ?? "", /^Cannot set \/proc\/self\/oom_score_adj to -999: ENOENT/);
});

async function fill(root: string, entries: Readonly<Record<string, number>>): Promise<void> {
  for (const [name, value] of Object.entries(entries)) {
    await place(root, join(NETFILTER, name), `${value}\n`);
  }
}

async function place(root: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

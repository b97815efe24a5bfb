import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { removeKubeProxyLeftovers } from "./kube-proxy-leftovers.ts";
import { removeOwnTables } from "./own-tables.ts";
import type { ProgramResult, RunProgram } from "./run-program.ts";

const kubeProxyRules = "*nat\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\nCOMMIT\n";

/** The node's programs: what each prints. A program that is not listed is missing. */
function makeRun(programs: Readonly<Record<string, (input: string) => Partial<ProgramResult>>>) {
  const calls: string[] = [];
  const run: RunProgram = async (program, args, input = "") => {
    const answer = programs[program];
    if (answer === undefined) return { kind: "missing" };
    if (!args.includes("--version")) calls.push(`${program} ${args.join(" ")}`.trim());
    const ended = { kind: "ended", exitCode: 0, stdout: "", stderr: "" } as const;
    return args.includes("--version") ? ended : { ...ended, ...answer(input) };
  };
  return { run, calls };
}

async function kernelWith(table: string) {
  const kernel = makeFakeKernel();
  for (const family of ["ip", "ip6"] as const) {
    await kernel.commit([{ family, table, changes: [{ kind: "add-table" }] }]);
  }
  return kernel;
}

test("kube-proxy's nft tables go, others stay, and a second time finds nothing", async () => {
  const kernel = await kernelWith("kube-proxy");
  await kernel.commit([{ family: "ip", table: "innermesh", changes: [{ kind: "add-table" }] }]);
  const { run } = makeRun({});
  const report = await removeKubeProxyLeftovers(kernel, { run, ipvs: "when-idle" });
  assert.deepEqual(report, {
    removed: ["nft table ip kube-proxy", "nft table ip6 kube-proxy"],
    kept: [],
    problems: [],
  });
  assert.ok(kernel.table("ip", "innermesh"));
  const again = await removeKubeProxyLeftovers(kernel, { run, ipvs: "when-idle" });
  assert.deepEqual(again.removed, []);
});

test("rules that changed between reading and writing are read again", async () => {
  let tries = 0;
  const { run, calls } = makeRun({
    "iptables-nft-save": () => ({ stdout: kubeProxyRules }),
    "iptables-nft-restore": () => (++tries < 3 ? { exitCode: 4, stderr: "busy\n" } : {}),
  });
  const report = await removeKubeProxyLeftovers(makeFakeKernel(), { run, ipvs: "when-idle" });
  assert.deepEqual(report.removed, ["1 chains of iptables (nft)"]);
  assert.deepEqual(report.problems, []);
  assert.equal(calls.filter((call) => call.startsWith("iptables-nft-save")).length, 3);
});

test("what cannot be removed is a problem that names the program and its words", async () => {
  const { run } = makeRun({
    "iptables-nft-save": () => ({ stdout: kubeProxyRules }),
    "iptables-nft-restore": () => ({ exitCode: 4, stderr: "busy\n" }),
    "ip6tables-nft-save": () => ({ exitCode: 1, stderr: "no kernel support" }),
  });
  const report = await removeKubeProxyLeftovers(makeFakeKernel(), { run, ipvs: "when-idle" });
  assert.deepEqual(report.problems, [
    'Cannot read rules: ip6tables-nft-save says "no kernel support"',
    'Cannot remove chains: iptables-nft-restore says "busy"',
  ]);
});

test("chains that only nft can show are a problem where iptables is missing", async () => {
  const kernel = makeFakeKernel();
  await kernel.commit([
    {
      family: "ip",
      table: "nat",
      changes: [
        { kind: "add-table" },
        { kind: "add-chain", chain: { name: "KUBE-SERVICES" } },
        { kind: "add-chain", chain: { name: "KUBE-MARK-DROP" } },
      ],
    },
  ]);
  const { run } = makeRun({});
  const { problems } = await removeKubeProxyLeftovers(kernel, { run, ipvs: "when-idle" });
  assert.deepEqual(problems, [
    "Cannot remove 1 chains of iptables: the node has no iptables-nft-restore",
  ]);
});

test("cleaning up removes our tables of both families and says so", async () => {
  const kernel = await kernelWith("innermesh");
  assert.deepEqual(await removeOwnTables(kernel), [
    "nft table ip innermesh",
    "nft table ip6 innermesh",
  ]);
  assert.deepEqual(await removeOwnTables(kernel), []);
});

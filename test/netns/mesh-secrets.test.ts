// Private keys stay in the memory of the processes that need them: nothing that a running mesh
// says, logs or shows holds one, and nobody reads that memory without the right to trace.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import { Mesh } from "./mesh-rig.ts";
import { until } from "./served-node.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
/** Started last: the socket is its own. */
const NODE = 2;
const PAGES: readonly (readonly [port: number, path: string])[] = [
  [10_249, "/metrics"],
  [10_249, "/configz"],
  [10_249, "/proxyMode"],
  [10_256, "/healthz"],
  [10_256, "/livez"],
];
/** How every P-256 key in PKCS #8 begins, as base64 and as bytes; the curve's key follows. */
const ANY_KEY = ["MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg", "PRIVATE KEY"];
const ANY_KEY_HEX = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420";
/** root with all its rights but to look into other processes */
const NO_TRACER = [
  "setpriv",
  "--bounding-set=-sys_ptrace",
  "--inh-caps=-sys_ptrace",
  "--ambient-caps=-all",
];

describe("keys of a running mesh", () => {
  let mesh: Mesh;
  let socket: string;
  before(async () => {
    socket = `/run/im-secrets-${process.pid}.sock`;
    const flags = [`--admin-socket=${socket}`, "--access-log-share=1", "--v=4"];
    mesh = await Mesh.build({ flags });
    await mesh.ready();
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await rm(socket, { force: true });
  });

  const says = async (...words: readonly string[]): Promise<string> => {
    const argv = [LAUNCHER, ...words, `--socket=${socket}`];
    const { netns } = mesh.served.playground.node(NODE);
    const { code, stdout, stderr } = await mesh.served.playground.exec(netns, argv);
    assert.equal(code, 0, stderr);
    return stdout + stderr;
  };
  const processes = (): readonly number[] =>
    [1, NODE].flatMap((node) => {
      const agent = mesh.agent(node);
      return [agent.pid, ...agent.workers()];
    });

  test("nothing that agents, workers and tools say or show holds a key", async () => {
    const rootKey = readFileSync(join(mesh.authority, "tls.key"), "utf8");
    const rootLines = rootKey.split("\n").filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line));
    assert(ANY_KEY.every((mark) => rootKey.includes(mark)) && rootLines.length > 0);
    assert(Buffer.from(rootLines.join(""), "base64").toString("hex").startsWith(ANY_KEY_HEX));
    const outputs = new Map<string, string>();
    for (const node of [1, NODE]) {
      const agent = mesh.agent(node);
      await until(`access log ${node}`, () => agent.accessLog.length > 0);
      outputs.set(`log ${node}`, agent.log.join("\n"));
      outputs.set(`access log ${node}`, agent.accessLog.join("\n"));
      for (const [port, path] of PAGES) {
        outputs.set(`${path} ${node}`, (await agent.get(port, path)).body);
      }
    }
    for (const format of ["json", "yaml", "table"]) {
      outputs.set(`identity ${format}`, await says("identity", "--peers", "-o", format));
    }
    outputs.set("top", await says("top", "--once", "-o", "json"));
    for (const pid of processes()) {
      for (const file of ["cmdline", "environ"]) {
        outputs.set(`${file} ${pid}`, readFileSync(`/proc/${pid}/${file}`, "latin1"));
      }
    }
    for (const [where, text] of outputs) {
      assert(text.length > 0, `${where} says nothing`);
      for (const mark of [...ANY_KEY, ...rootLines, ANY_KEY_HEX]) {
        assert(!text.includes(mark), `${where} holds a key`);
      }
    }
  });

  test("root reads no worker's memory without the right to trace", async () => {
    const { playground } = mesh.served;
    const { netns } = playground.node(NODE);
    /** What stands in the way: nothing is mapped at 0, so that one who may read meets that. */
    const obstacle = async (pid: number): Promise<string> => {
      const argv = [...NO_TRACER, "head", "-c1", `/proc/${pid}/mem`];
      return (await playground.exec(netns, argv)).stderr;
    };
    // What has no more rights, and no keys, can be looked into.
    const bystander = playground.spawn(netns, [...NO_TRACER, "sleep", "600"]);
    await until("that a bystander can be read", async () =>
      /Input\/output error/.test(await obstacle(bystander.pid ?? 0)),
    );
    bystander.kill();
    const workers = mesh.agent(NODE).workers();
    assert(workers.length > 0);
    for (const pid of [mesh.agent(NODE).pid, ...workers]) {
      assert.match(await obstacle(pid), /Permission denied/, `${pid}`);
    }
  });

  test("no signal opens a debugger, and the agent says that its memory is closed", async () => {
    for (const pid of processes()) process.kill(pid, "SIGUSR1");
    // Answered after the signals.
    const report = JSON.parse(await says("identity", "-o", "json")) as IdentityReport;
    assert.deepEqual(report.exposure, []);
    await mesh.ready();
    const isAsked = (agent: NodeProcess): boolean => agent.log.join().includes("Debugger");
    assert(![1, NODE].some((node) => isAsked(mesh.agent(node))));
    for (const node of [1, NODE])
      assert.equal((await mesh.agent(node).get(9_229, "/json")).status, 0);
  });
});

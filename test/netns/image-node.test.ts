// The node role in its image, as the DaemonSet has it: read-only, and with the capabilities of the
// manifest and no other. Each of them is taken away once, to see what it is for.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { nodeCapabilities } from "../../manifests/source/capabilities.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import type { ProbeResult } from "../../playground/probe-protocol.ts";
import { ContainerImage, libcap, mainProcess } from "./container.ts";
import { DaemonSetPod } from "./daemon-set.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const NODE = "node";
const SYSCTLS = "sysctls";
const TIMEOUT_FILE = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
const CONNTRACK_LIST = `
  const { openConntrackTable } = await import("/innermesh/lib/netlink/conntrack.ts");
  const { systemClock } = await import("/innermesh/lib/clock/system-clock.ts");
  for await (const flows of openConntrackTable(systemClock).list("ip")) void flows;
  process.exit();`;

/** What a missing capability takes away. */
interface Loss {
  readonly what: string;
  /** A program of the image; the agent itself when left out. */
  readonly words?: readonly string[];
  readonly says: RegExp;
}

const LOSSES: Readonly<Record<string, readonly Loss[]>> = {
  NET_ADMIN: [
    {
      what: "the agent ends, for nf_tables refuses it",
      says: /ERROR innermesh node ends .*"Cannot read the nft generation: kernel returned EPERM/,
    },
    {
      what: "conntrack lists no flow",
      words: ["/innermesh/node_modules/.bin/node", "--input-type=module", "-e", CONNTRACK_LIST],
      says: /Cannot open the conntrack table: kernel returned EPERM/,
    },
    {
      what: "rules of kube-proxy cannot be found",
      words: ["/usr/bin/iptables-nft-save"],
      says: /Permission denied/,
    },
    {
      what: "kube-proxy's interface cannot be deleted",
      words: ["/usr/bin/ip", "link", "delete", "kube-ipvs0"],
      says: /Operation not permitted/,
    },
  ],
};

suite("the node role in its image", () => {
  let rig: ServedNode;
  let pod: DaemonSetPod;
  let agent: NodeProcess;
  before(async () => {
    const image = await ContainerImage.open();
    rig = await ServedNode.build();
    pod = await DaemonSetPod.create(rig, image);
    // What a kube-proxy before us left.
    const link = ["ip", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "im-end"];
    await rig.run(...link);
    const chain = ["-t", "nat", "-N", "KUBE-SERVICES"];
    for (const variant of ["nft", "legacy"]) await rig.run(`iptables-${variant}`, ...chain);
  });
  after(async () => {
    await pod[Symbol.asyncDispose]();
    await rig[Symbol.asyncDispose]();
  });

  test("asks for nothing beside its capabilities", () => {
    assert.deepEqual(pod.container(NODE).securityContext, {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: granted() },
    });
  });

  test("has a loss to show for each capability that is needed", () => {
    const needed = nodeCapabilities.filter((capability) => capability.needed);
    assert.deepEqual(
      Object.keys(LOSSES),
      needed.map(({ name }) => name),
    );
  });

  test("names the file it cannot write where its init container did not run", async () => {
    const { code, stderr } = await pod.run(NODE);
    assert.equal(code, 1);
    assert.ok(stderr.includes(`Cannot set ${TIMEOUT_FILE} to 86400: EROFS, `), stderr);
  });

  test("writes sysctls in its init container, which ends", async () => {
    const { code, stderr } = await pod.run(SYSCTLS);
    assert.equal(code, 0, stderr);
    assert.equal((await rig.run("cat", TIMEOUT_FILE)).trim(), "86400");
  });

  for (const [capability, losses] of Object.entries(LOSSES)) {
    for (const { what, words, says } of losses) {
      test(`without ${capability} ${what}`, async () => {
        const capabilities = granted().filter((name) => name !== capability);
        const change = words === undefined ? { capabilities } : { capabilities, words };
        const { code, stderr } = await pod.run(NODE, change);
        assert.notEqual(code, 0);
        assert.match(stderr, says);
      });
    }
  }

  test("becomes healthy with exactly the capabilities of the DaemonSet", async () => {
    await rig.serve({ number: 1, pods: ["pod-2-1"] });
    agent = pod.start(NODE);
    await agent.healthy();
    await until("the first sync", () => logged("Services are served"));
    const status = await readFile(`/proc/${await mainProcess(agent.pid)}/status`, "utf8");
    const mask = BigInt(`0x${/^CapEff:\t(\S+)$/m.exec(status)?.[1]}`);
    const held = (await rig.run("capsh", `--decode=${mask.toString(16)}`)).trim();
    assert.equal(held.split("=")[1], granted().map(libcap).sort().join());
    for (const set of ["CapPrm", "CapBnd"]) {
      assert.equal(BigInt(`0x${new RegExp(`^${set}:\t(\\S+)$`, "m").exec(status)?.[1]}`), mask);
    }
    assert.match(status, /^NoNewPrivs:\t1$/m);
  });

  test("can write nowhere but to its memory", async () => {
    const mounts = await readFile(`/proc/${await mainProcess(agent.pid)}/mounts`, "utf8");
    const writable = mounts
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .filter(([, , , options = ""]) => options.split(",").includes("rw"))
      .map(([, at = "", type = ""]) => `${type} ${at}`);
    assert.deepEqual(
      writable.filter((line) => !line.includes(" /dev")),
      ["proc /proc", "tmpfs /tmp", "tmpfs /run/innermesh"],
    );
  });

  for (const family of FAMILIES) {
    for (const entry of ["cluster", "nodePort"] as const) {
      for (const protocol of ["tcp", "udp"] as const) {
        test(`serves ${entry} over ${protocol}, ${family}`, async () => {
          const { address, port } = rig.address(entry, 1, family);
          const sender = entry === "cluster" ? "pod-1-1" : "client";
          assert.equal(answerer(await rig.probe(sender)[protocol](address, port)), "pod-2-1");
        });
      }
    }
  }

  test("frees a UDP flow from a backend that went", async () => {
    const { address, port } = rig.address("cluster", 1, "ip");
    const ask = () => rig.probe("pod-1-1").udp(address, port, { sourcePort: 40_000 });
    assert.equal(answerer(await ask()), "pod-2-1");
    await rig.serve({ number: 1, pods: ["pod-1-2"] });
    const tookMs = await until("the new backend", async () => answerer(await ask()) === "pod-1-2");
    assert.ok(tookMs < 6_000, `${tookMs} ms`);
  });

  test("removes what kube-proxy left, and says what it cannot reach", async () => {
    await until("the take-over", () => logged("took over from kube-proxy"));
    const removed = '["1 chains of iptables (nft)","interface kube-ipvs0"]';
    assert.ok(logged(`removed=${removed}`), agent.log.join("\n"));
    // The legacy variant writes under a lock file of the node.
    assert.ok(logged("something of kube-proxy stays"), agent.log.join("\n"));
    assert.ok(logged("iptables-legacy-restore says"), agent.log.join("\n"));
    assert.match(await rig.run("iptables-legacy-save"), /KUBE-SERVICES/);
  });

  test("ends when told to, though it is process 1, and its rules stay", async () => {
    const inside = await mainProcess(agent.pid);
    process.kill(inside, "SIGTERM");
    const graceMs = (pod.spec.terminationGracePeriodSeconds ?? 0) * 1_000;
    await until("its end", () => !existsSync(`/proc/${inside}`), graceMs);
    await agent.stop();
    const { address, port } = rig.address("nodePort", 1, "ip");
    assert.equal(answerer(await rig.probe("client").tcp(address, port)), "pod-1-2");
  });

  function granted(): readonly string[] {
    const capabilities = pod.granted(NODE);
    return capabilities === "privileged" ? assert.fail("the agent is privileged") : capabilities;
  }

  function logged(text: string): boolean {
    return agent.log.some((line) => line.includes(text));
  }
});

function answerer(result: ProbeResult): string {
  return result.kind === "reply" ? (result.echo?.pod ?? "other") : result.kind;
}

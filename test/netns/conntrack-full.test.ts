// A flood fills the kernel's table of connections (fault F28). The limit is the machine's and is not
// touched here; but each namespace counts on its own, so only the node under test is full.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { OpenConnection } from "../../playground/probe.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const FLOOD = fileURLToPath(new URL("./datagram-flood.ts", import.meta.url));
/** An operator's alarm goes off here. */
const ALARM_SHARE = 0.95;

describe("the table of connections is full", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.serve({ number: 1, pods: ["pod-1-2", "pod-2-1"] });
    await rig.start();
  });
  after(() => rig[Symbol.asyncDispose]());

  async function series(name: string): Promise<number> {
    const { body } = await rig.agent.get(10249, "/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(body)?.[1]);
  }

  async function flood(flows: number): Promise<void> {
    const { client } = rig.playground;
    const links = await rig.run("ip", "-j", "link", "show", "eth0");
    const [link] = JSON.parse(links) as readonly { readonly address: string }[];
    const where = ["eth0", link?.address ?? "", client.addresses.ip, "10.71.2.250"];
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", FLOOD, ...where];
    const options = { timeoutMs: 60_000 };
    const { code, stderr } = await rig.playground.exec(
      client.netns,
      [...argv, String(flows)],
      options,
    );
    assert.equal(code, 0, stderr);
  }

  test("connections live on, new ones are made, and the metric tells", async (t) => {
    const limit = Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_max", "utf8"));
    assert.equal(await series("innermesh_conntrack_limit"), limit);
    const connections: OpenConnection[] = [];
    for (const family of FAMILIES) {
      for (const entry of ["cluster", "nodePort", "balancer"] as const) {
        const { address, port } = rig.address(entry, 1, family);
        const connection = await rig.probe("client").open(address, port);
        assert(connection.kind === "open");
        assert.equal((await connection.say("hello")).kind, "reply");
        connections.push(connection);
      }
    }
    const startMs = performance.now();
    await flood(Math.ceil(limit * 1.05));
    t.diagnostic(`${limit} flows in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    const entries = await series("innermesh_conntrack_entries");
    assert.ok(entries > ALARM_SHARE * limit, `${entries} of ${limit}`);
    for (const connection of connections) {
      const answer = await connection.say("still there?", 5_000);
      assert.equal(answer.kind === "reply" && answer.text, "still there?");
    }
    const { address, port } = rig.address("cluster", 1, "ip");
    const connect = async (): Promise<boolean> =>
      (await rig.probe("client").tcp(address, port)).kind === "reply";
    await until("a new connection", connect);
    // Clean-up of UDP flows walks all of it, off the sync path.
    await rig.serve({ number: 1, pods: ["pod-2-2"] });
    const isMoved = async (): Promise<boolean> => {
      const result = await rig.probe("pod-1-1").tcp(address, port);
      return result.kind === "reply" && result.echo?.pod === "pod-2-2";
    };
    t.diagnostic(`a change took ${(await until("the change", isMoved)).toFixed(0)} ms`);
    assert.equal((await rig.agent.get(10256, "/healthz")).status, 200);
  });
});

// Packets that belong to no window of their connection (fault F35). Conntrack calls them INVALID and
// leaves their addresses as they are, so that the client meets a stranger and answers with a reset.
// With --conntrack-tcp-be-liberal they are translated like all others, and the client drops them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { TCP_ACK, tcpFrame } from "./raw-frame.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const PROGRAM = fileURLToPath(new URL("./raw-frame.ts", import.meta.url));
/** What every routed veth of the playground has at the node's end. */
const ROUTER_MAC = "ee:ee:ee:ee:ee:ee";
const BACKEND_PORT = 9090;
/** Beyond any window. */
const FAR_AHEAD = 0x2000_0000;

describe("packets out of window", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.serve({ number: 1, pods: ["pod-2-1"] });
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Sends one from the backend into a connection of pod-1-1, as if far ahead. */
  async function intrude(family: Family): Promise<{
    /** What pod-1-1 saw and sent since, as tcpdump has it. */
    readonly lines: readonly string[];
    readonly lives: boolean;
  }> {
    const { address, port } = rig.address("cluster", 1, family);
    const [client, backend] = [rig.playground.pod(1, 1), rig.playground.pod(2, 1)];
    const connection = await rig.probe(client.name).open(address, port);
    assert(connection.kind === "open", JSON.stringify(connection));
    const clientPort = connection.greeting.localPort;
    const filter = ["tcp", "and", "port", String(clientPort)];
    const words = ["tcpdump", "-i", "eth0", "-nlS", "--immediate-mode", ...filter];
    const tcpdump = rig.playground.spawn(client.netns, words, {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [seen, told] = ["", ""];
    tcpdump.stdout?.setEncoding("utf8").on("data", (text: string) => (seen += text));
    tcpdump.stderr?.setEncoding("utf8").on("data", (text: string) => (told += text));
    await until("tcpdump", () => told.includes("listening on"));
    assert.equal((await connection.say("hello")).kind, "reply");
    const acks = (way: string): number | undefined => {
      const numbers = seen.split("\n").filter((line) => line.includes(way));
      const last = numbers
        .map((line) => /, ack (\d+),/.exec(line)?.[1])
        .filter(Boolean)
        .at(-1);
      return last === undefined ? undefined : Number(last);
    };
    const [toServer, toClient] = [`${clientPort} > `, `.${clientPort}: `];
    await until("both sequences", () => (acks(toServer) ?? acks(toClient)) !== undefined);
    const expected = acks(toServer) ?? 0;
    const frame = tcpFrame({
      destinationMac: ROUTER_MAC,
      source: backend.addresses[family],
      sourcePort: BACKEND_PORT,
      destination: client.addresses[family],
      destinationPort: clientPort,
      sequence: (expected + FAR_AHEAD) % 2 ** 32,
      acknowledgement: acks(toClient) ?? 0,
      flags: TCP_ACK,
      payload: "intruder",
    });
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", PROGRAM];
    const hex = frame.toString("hex");
    const sent = await rig.playground.exec(backend.netns, [...argv, "eth0", hex]);
    assert.equal(sent.code, 0, sent.stderr);
    const after = (): string => seen.slice(seen.search(/^.* length 8\b/m));
    await until("the intruder at the client", () => / length 8\b/.test(seen));
    const answer = await connection.say("still there?");
    const lines = after().split("\n");
    await connection.close();
    tcpdump.kill();
    return { lines, lives: answer.kind === "reply" };
  }

  for (const family of FAMILIES) {
    test(`${family}: without the flag the client resets what it takes for a stranger`, async () => {
      await rig.start();
      const { lines, lives } = await intrude(family);
      const resets = lines.filter((line) => line.includes("Flags [R]"));
      assert.notDeepEqual(resets, [], lines.join("\n"));
      assert.equal(lives, false, "and the connection is lost");
      await rig.agent.stop();
    });

    test(`${family}: --conntrack-tcp-be-liberal translates them, and nobody is reset`, async () => {
      await rig.start("--conntrack-tcp-be-liberal");
      const { lines, lives } = await intrude(family);
      assert.equal(lives, true);
      const { address } = rig.address("cluster", 1, family);
      const intruder = lines.find((line) => line.includes("length 8")) ?? "";
      assert.ok(intruder.includes(`${address}.80 > `), `translated: ${intruder}`);
      assert.deepEqual(
        lines.filter((line) => line.includes("Flags [R")),
        [],
      );
      await rig.agent.stop();
      await rig.playground.sysctl(rig.node.netns, ["net.netfilter.nf_conntrack_tcp_be_liberal=0"]);
    });
  }
});

// sessionAffinity ClientIP as packets: sixteen outside clients, four endpoints, both families, TCP
// and UDP at once. With so many clients, choosing anew by chance as before is a matter of 10^-9.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Family } from "../../lib/nft/objects.ts";
import type { Entry } from "../../service-proxy/plan/packet-cases.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

const ALL = ["pod-1-1", "pod-1-2", "pod-2-1", "pod-2-2"] as const;
const CLIENTS = 16;
const SHORT_SECONDS = 5;
const LONG_SECONDS = 600;
/** From the end of the timeout until the kernel has surely forgotten. */
const EXPIRED_MS = SHORT_SECONDS * 1000 + 600;

/** One client by one way: family, protocol, and its own address. */
interface Way {
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
  readonly source: string;
}

const WAYS: readonly Way[] = FAMILIES.flatMap((family) =>
  (["tcp", "udp"] as const).flatMap((protocol) =>
    Array.from({ length: CLIENTS }, (_, i) => {
      const source = family === "ip" ? `192.168.77.${100 + i}` : `fd77::1:${i}`;
      return { family, protocol, source };
    }),
  ),
);

/** Way → pod. */
type Picks = ReadonlyMap<Way, string>;

describe("sessionAffinity ClientIP", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    for (const { family, source } of WAYS.filter(({ protocol }) => protocol === "tcp")) {
      const { netns } = rig.playground.client;
      const prefix = family === "ip" ? [`${source}/24`] : [`${source}/64`, "nodad"];
      const [address = "", ...more] = prefix;
      const argv = ["ip", "address", "add", address, "dev", "eth0", ...more];
      assert.equal((await rig.playground.exec(netns, argv)).code, 0);
    }
    await rig.start();
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Writes the Service and waits until the kernel has it as told. */
  async function serve(number: number, seconds: number | undefined, pods: readonly string[] = ALL) {
    const sticky = {
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: seconds } },
    };
    await rig.serve({ number, pods, spec: seconds === undefined ? {} : sticky });
    const set = seconds === undefined ? "cluster" : "cluster-affinity";
    const chain = `goto ${seconds === undefined ? "mod" : "aff"}-${pods.length}`;
    await until(`Service ${number} as written`, async () => {
      const table = await rig.read("ip6");
      const name = `default/case-${number}:udp/udp ${set}`;
      const found = table?.sets["esets"]?.find(({ comment }) => comment === name);
      const [major] = found?.key.split(":") ?? [];
      const live = table?.sets["aff-live"]?.filter(({ key }) => key.startsWith(`${major}:`)) ?? [];
      return found?.data === chain && live.every(({ data }) => data === `goto aff-use-${seconds}`);
    });
  }

  /** Every client connects once. */
  async function connect(number: number, entry: Entry = "cluster"): Promise<Picks> {
    const answers = WAYS.map(async (way): Promise<[Way, string]> => {
      const { address, port } = rig.address(entry, number, way.family);
      const { protocol, source: sourceAddress } = way;
      const target = { protocol, address, port, sourceAddress, timeoutMs: 2_000 };
      const result = await rig.probe("client").try(target);
      assert.equal(result.kind, "reply", `${JSON.stringify(way)}: ${JSON.stringify(result)}`);
      return [way, result.kind === "reply" ? (result.echo?.pod ?? "") : ""];
    });
    return new Map(await Promise.all(answers));
  }

  test("a client keeps its endpoint, and clients spread over all of them", async () => {
    await serve(1, LONG_SECONDS);
    const picks = await connect(1);
    assert.deepEqual([...new Set(picks.values())].sort(), ALL);
    for (let round = 0; round < 5; round++) assert.deepEqual(await connect(1), picks);
  });

  test("ClusterIP, NodePort, externalIP and LB VIP share a client's endpoint", async () => {
    await serve(2, LONG_SECONDS);
    const picks = await connect(2, "nodePort");
    for (const entry of ["cluster", "balancer", "external", "nodePort"] as const) {
      assert.deepEqual(await connect(2, entry), picks, entry);
    }
  });

  test("connections refresh the timeout; after as long without one the client is new", async () => {
    await serve(3, SHORT_SECONDS);
    const picks = await connect(3);
    for (let round = 0; round < 3; round++) {
      await delay((SHORT_SECONDS * 1000) / 2);
      assert.deepEqual(await connect(3), picks, `after ${round + 1} pauses`);
    }
    await delay(EXPIRED_MS);
    assert.notDeepEqual(await connect(3), picks);
  });

  for (const removed of ["pod-1-1", "pod-1-2", "pod-2-2"]) {
    test(`only the clients of ${removed} choose again when it goes`, async () => {
      const number = 20 + ALL.findIndex((pod) => pod === removed);
      await serve(number, LONG_SECONDS);
      const before = await connect(number);
      const left = ALL.filter((pod) => pod !== removed);
      await serve(number, LONG_SECONDS, left);
      const after = await connect(number);
      for (const [way, pod] of before) {
        if (pod !== removed) assert.equal(after.get(way), pod);
        else assert.ok(left.some((other) => other === after.get(way)));
      }
      await serve(number, LONG_SECONDS);
      assert.deepEqual(await connect(number), after, "nobody moves when it comes back");
    });
  }

  test("the agent's death, its restart and other Services' changes move nobody", async () => {
    await serve(5, LONG_SECONDS);
    const picks = await connect(5);
    await rig.agent.kill();
    assert.deepEqual(await connect(5), picks, "without an agent");
    await rig.start();
    assert.deepEqual(await connect(5), picks, "after its restart");
    await serve(6, LONG_SECONDS, ["pod-2-2"]);
    await serve(7, undefined);
    await serve(6, LONG_SECONDS, ["pod-2-2", "pod-1-1"]);
    await rig.unserve(7);
    assert.deepEqual(await connect(5), picks, "after changes of others");
  });

  test("an endpoint that went while no agent ran loses its clients, and only it", async () => {
    await serve(8, LONG_SECONDS);
    const picks = await connect(8);
    await rig.agent.kill();
    await rig.serve({
      number: 8,
      pods: ["pod-2-2", "pod-1-1", "pod-1-2"],
      spec: {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: LONG_SECONDS } },
      },
    });
    await rig.start();
    for (const [way, pod] of await connect(8)) {
      if (picks.get(way) !== "pod-2-1") assert.equal(pod, picks.get(way));
      else assert.notEqual(pod, "pod-2-1");
    }
  });

  test("a new timeout counts from a client's next connection, and moves nobody", async () => {
    await Promise.all([serve(9, LONG_SECONDS), serve(10, SHORT_SECONDS)]);
    const [long, short] = await Promise.all([connect(9), connect(10)]);
    await Promise.all([serve(9, SHORT_SECONDS), serve(10, LONG_SECONDS)]);
    assert.deepEqual(await connect(9), long);
    assert.deepEqual(await connect(10), short);
    await delay(EXPIRED_MS);
    assert.notDeepEqual(await connect(9), long, "its timeout is the short one");
    assert.deepEqual(await connect(10), short, "its timeout is the long one");
  });

  test("affinity is switched off and on under way", async () => {
    await serve(11, LONG_SECONDS);
    const picks = await connect(11);
    await serve(11, undefined);
    assert.notDeepEqual(await connect(11), await connect(11), "off: each connection chooses");
    await serve(11, LONG_SECONDS);
    const again = await connect(11);
    assert.deepEqual(await connect(11), again, "on: sticks");
    assert.notDeepEqual(again, picks, "what was remembered before counts no more");
  });
});

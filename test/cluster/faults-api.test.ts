// The API server misbehaves in every way it can, and the network to it. Traffic must not notice,
// and the agent must find its way back.

import assert from "node:assert/strict";
import { rename, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { scrape } from "./agent-metrics.ts";
import { eventually } from "./answers.ts";
import { ApiClient, ApiError } from "./api-client.ts";
import { type Cluster, NODE_ACCOUNT, startCluster } from "./cluster-fixture.ts";
import { createService, ensureServiceAccount } from "./cluster-objects.ts";
import { type FaultRig, startFaultRig } from "./fault-rig.ts";
import type { SeenRequest, Treatment } from "./fault-proxy.ts";
import { lasting } from "./soak.ts";

const SERVICES = "/api/v1/services";
const SLICES = "/apis/discovery.k8s.io/v1/endpointslices";
const KINDS = [SERVICES, SLICES, "/api/v1/nodes", "/apis/networking.k8s.io/v1/servicecidrs"];
const SLICES_OF_DEFAULT = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const PASS: Treatment = { kind: "pass" };
const STALL_LIMIT_MS = 60_000;
/** What a busy machine may add to the latency of a slow server: connecting anew, planning. */
const ASIDE_MS = 12_000;

type Garble = (line: string, breakOff: () => void) => string[];

const GARBAGE: readonly (readonly [string, Garble])[] = [
  [
    "an event that is cut off",
    (line, breakOff) => {
      breakOff();
      return [line.slice(0, line.length / 2)];
    },
  ],
  ["a line of bytes", () => ["\u0000\u0001\u00ff{{{]"]],
  ["a line that is no object", () => ["42"]],
  ["an event of an unknown type", (line) => ['{"type":"NEWS","object":{"kind":"News"}}', line]],
  [
    "an object of another kind",
    (line) => ['{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"p"}}}', line],
  ],
  [
    "an object in another shape",
    (line) => [line.replace(/"endpoints":\[[^\]]*\]/, '"endpoints":"none"'), line],
  ],
  ["a line of 17 MiB", () => [`{"type":"ADDED","object":"${"x".repeat(17 << 20)}"}`]],
];

suite("API server faults", () => {
  let cluster: Cluster;
  let rig: FaultRig;
  let stalled: FaultRig;
  let tokenFile: string;
  /** F4 takes most of a minute of waiting, so it runs beside the others. */
  let stall: Promise<number>;

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 3, controllers: [] });
    const { playground, controlPlane } = cluster;
    tokenFile = cluster.file("rotated-token");
    const { namespace, name } = NODE_ACCOUNT;
    await writeFile(tokenFile, await controlPlane.serviceAccountToken(namespace, name));
    const steady = [playground.pod(1, 2), playground.pod(2, 2)];
    const turns = [playground.pod(1, 3), playground.pod(2, 3)];
    const [node1, node2] = [playground.node(1), playground.node(2)];
    [rig, stalled] = await Promise.all([
      startFaultRig(cluster, { node: node1, from: playground.pod(1, 1), steady, turns, tokenFile }),
      startFaultRig(cluster, { node: node2, from: playground.pod(2, 1), steady, turns }),
    ]);
    stall = stalled.suffer(async () => {
      stalled.proxy.freezeStreams();
      return stalled.follows(STALL_LIMIT_MS);
    });
    stall.catch(() => {});
  });
  after(async () => cluster[Symbol.asyncDispose]());

  test("F1: while it is down nothing is lost, and a series tells the age of what is known", async () => {
    await rig.suffer(async () => {
      const downAtSeconds = Date.now() / 1000;
      await rig.proxy.goDown();
      await rig.move();
      await delay(lasting(6_000, 600_000));
      const metrics = await scrape(rig.agent);
      for (const kind of ["Service", "EndpointSlice", "Node"]) {
        const seconds = metrics.sum("innermesh_source_last_event_timestamp_seconds", { kind });
        assert.ok(seconds <= downAtSeconds + 1, `${kind} counts as new`);
      }
      assert.equal((await rig.agent.get(10_256, "/livez")).status, 200);
      assert.equal((await rig.agent.get(10_256, "/healthz")).status, 200);
      await rig.proxy.listen();
      await rig.arrives();
    });
  });

  test("F2: a slow server delays changes by its own latency and no more", async () => {
    const latencyMs = lasting(5_000, 30_000);
    await rig.suffer(async () => {
      rig.proxy.faults = { latencyMs };
      const knownMs = await rig.follows(latencyMs + ASIDE_MS);
      rig.proxy.breakConnections();
      // Connecting anew takes two latencies: to the head, and to the first line.
      const anewMs = await rig.follows(2 * latencyMs + ASIDE_MS);
      assert.ok(knownMs >= 0.9 * latencyMs && anewMs >= 0.9 * latencyMs, "nothing was slow");
    });
  });

  for (const [what, garble] of GARBAGE) {
    test(`F5: ${what} costs nothing but another look`, async () => {
      await rig.suffer(async () => {
        let left = 1;
        rig.proxy.faults = {
          rewrite: (line, { path }, breakOff) => {
            if (path !== SLICES || left-- <= 0) return [line];
            return garble(line, breakOff);
          },
        };
        await rig.follows();
      });
    });
  }

  test("F6: no object goes back in time, whatever comes twice, late or mixed up", async () => {
    const { admin } = cluster;
    const disorder = new Disorder();
    const reborn = async (round: number): Promise<void> => {
      const spec = { ports: [{ port: 80 + round }] };
      await createService(admin, { name: `reborn-${round % 2}`, spec });
      await rig.move();
    };
    await rig.suffer(async () => {
      rig.proxy.faults = { rewrite: (line, { path }) => disorder.rewrite(path, line) };
      for (let round = 0; round < 6; round += 1) {
        await reborn(round);
        await admin.request("DELETE", `/api/v1/namespaces/default/services/reborn-${round % 2}`);
      }
      disorder.holds = false;
      await reborn(0);
      await rig.arrives();
      await delay(500);
      await rig.arrives();
      await cluster.noDrift(cluster.playground.node(1));
    });
  });

  test("F8: an overloaded server is asked ever more rarely, and not before it said", async () => {
    await rig.suffer(async () => {
      rig.proxy.faults = { treat: () => ({ kind: "answer", status: 429, retryAfterSeconds: 1 }) };
      rig.proxy.breakConnections();
      const startMs = rig.proxy.nowMs;
      await delay(6_000);
      const requests = rig.proxy.since(startMs);
      const seconds = (rig.proxy.nowMs - startMs) / 1_000;
      for (const kind of KINDS) {
        const asked = requests.filter(({ path }) => path === kind);
        // A second at least between them, but for the first pause, which is for the broken stream.
        assert.ok(asked.length <= seconds + 1, `${kind}: ${asked.length} requests`);
      }
    });
  });

  test("F20: an agent that was frozen catches up in one go", async () => {
    const { pid } = rig.agent;
    const syncs = "kubeproxy_sync_proxy_rules_duration_seconds_count";
    await rig.suffer(async () => {
      const before = await scrape(rig.agent);
      process.kill(pid, "SIGSTOP");
      try {
        for (let moves = 0; moves < 40; moves += 1) await rig.move();
        await delay(lasting(8_000, 300_000));
      } finally {
        process.kill(pid, "SIGCONT");
      }
      await rig.arrives();
      await delay(500);
      const count = (await scrape(rig.agent)).sum(syncs, { ip_family: "IPv4" });
      const more = count - before.sum(syncs, { ip_family: "IPv4" });
      assert.ok(more <= 10, `${more} syncs after 40 changes`);
    });
  });

  test("F7: of a list whose third page fails nothing is taken", async () => {
    const expired = new Set<string>();
    let pagesAnswered = 0;
    /** No WatchList here; watches have expired; and the third page never comes. */
    const treat = ({ path, query, watch }: SeenRequest): Treatment => {
      if (query.has("sendInitialEvents")) return { kind: "answer", status: 400 };
      if (watch && !expired.has(path)) {
        expired.add(path);
        return { kind: "answer", status: 410 };
      }
      if (watch || path !== SLICES) return PASS;
      if (!query.has("continue")) pagesAnswered = 0;
      pagesAnswered += 1;
      return pagesAnswered === 3 ? { kind: "answer", status: 500 } : PASS;
    };
    await rig.suffer(async () => {
      rig.proxy.faults = { pageLimit: 1, treat };
      rig.proxy.breakConnections();
      const failed = (): number =>
        rig.proxy.requests.filter(({ status, path }) => status === 500 && path === SLICES).length;
      await eventually(async () => {
        await delay(0);
        assert.ok(failed() >= 2, "the third page was not asked for twice");
      });
    });
  });

  test("F4: a watch that fell silent is found out within a minute", async (t) => {
    t.diagnostic(`a change was served after ${Math.round(await stall)} ms`);
  });

  test("F9: a token that was replaced on disk is taken up when the old one is refused", async () => {
    const { controlPlane, admin } = cluster;
    const { namespace, name } = NODE_ACCOUNT;
    await rig.suffer(async () => {
      const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`;
      // The account that is made anew has another uid: tokens of the old one are void.
      await admin.request("DELETE", account);
      await ensureServiceAccount(admin, namespace, name);
      const old = rig.proxy.requests.at(-1)?.token ?? assert.fail("no token was sent");
      await untilRefused(rig, old);
      rig.proxy.breakConnections();
      await eventually(async () => {
        await delay(0);
        assert.equal(rig.proxy.requests.at(-1)?.status, 401);
      });
      const token = await controlPlane.serviceAccountToken(namespace, name);
      // As the kubelet does: written beside, then moved.
      await writeFile(`${tokenFile}.new`, token);
      await rename(`${tokenFile}.new`, tokenFile);
      await rig.follows();
      assert.equal(rig.proxy.requests.at(-1)?.token, token);
    });
  });

  test("F3: after compaction and restart everything is listed anew, and no rule goes", async () => {
    const { controlPlane } = cluster;
    await rig.suffer(async () => {
      const startMs = rig.proxy.nowMs;
      await rig.proxy.goDown();
      await rig.move();
      await rig.move();
      await rig.move();
      await controlPlane.compact();
      await controlPlane.restartApiserver();
      await rig.proxy.listen();
      await rig.arrives(45_000);
      const lists = rig.proxy.since(startMs).filter(({ path, watch, query }) => {
        return path === SLICES && (!watch || query.has("sendInitialEvents"));
      });
      assert.ok(lists.length > 0, "nothing was listed anew");
      const said = rig.agent.log.filter((line) => /expired/.test(line));
      assert.ok(said.length > 0, "the agent said nothing of an expired version");
    });
  });
});

interface WatchLine {
  readonly object: { readonly metadata: { readonly name?: string } };
}

/** What two API servers of which one lags make of a watch that moves between them, and worse. */
class Disorder {
  /** Whether lines are held back until a later one has gone ahead. */
  holds = true;
  /** By path and object: all that was ever said. */
  readonly #former = new Map<string, string[]>();
  readonly #held = new Map<string, string>();

  rewrite(path: string, line: string): string[] {
    const { name } = (JSON.parse(line) as WatchLine).object.metadata;
    if (name === undefined) return [line];
    const key = `${path} ${name}`;
    const past = this.#former.get(key) ?? [];
    this.#former.set(key, [...past, line]);
    const held = this.#held.get(path);
    this.#held.delete(path);
    if (held === undefined && this.holds) {
      this.#held.set(path, line);
      return past.toReversed();
    }
    return [line, line, ...(held === undefined ? [] : [held]), ...past.toReversed(), ...past];
  }
}

/** The API server remembers for some seconds that a token was good. */
async function untilRefused(rig: FaultRig, token: string): Promise<void> {
  const { controlPlane } = rig.cluster;
  await eventually(async () => {
    const { url, authorityFile } = controlPlane;
    using client = new ApiClient({
      url,
      authorityFile,
      credentials: { token },
    });
    await assert.rejects(
      client.request("GET", SLICES_OF_DEFAULT),
      (error: unknown) => error instanceof ApiError && error.status === 401,
    );
    await delay(200);
  }, 30_000);
}

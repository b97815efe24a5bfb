import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { Service } from "../../lib/kube/api/service.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import { type FakeKernel, makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError, type TableContents } from "../../lib/nft/objects.ts";
import type { TableSettings } from "../plan/family-facts.ts";
import { DEFAULT_LANE } from "../plan/lane-marks.ts";
import { NodePlan } from "../plan/node-plan.ts";
import { TABLE } from "../plan/ruleset.ts";
import { NftApply } from "./nft-apply.ts";

const silentLogger = makeLogger({
  level: "error",
  format: "json",
  destination: { write: () => {} },
});
const SETTINGS: TableSettings = {
  nodeName: "node-1",
  apiServerAddresses: [],
  detectLocal: { kind: "ClusterCIDR", cidrs: ["10.71.0.0/16"] },
  masqueradeAll: false,
  masqueradeBit: 14,
  proxyMode: "auto",
  lane: DEFAULT_LANE,
  nodePortAddresses: { kind: "primary" },
};

function service(number: number, more: Partial<Service> = {}): Service {
  return {
    kind: "Service",
    namespace: "default",
    name: `s${number}`,
    uid: `uid-${number}`,
    resourceVersion: "",
    createdMs: number,
    labels: {},
    annotations: {},
    type: "NodePort",
    clusterIPs: [`10.96.0.${number}`],
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_000 + number }],
    externalIPs: [],
    loadBalancerVips: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    ...more,
  };
}

function slice(number: number, hosts: readonly number[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: "default",
    name: `s${number}-a`,
    uid: `slice-${number}`,
    resourceVersion: "",
    serviceName: `s${number}`,
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: hosts.map((host) => ({
      address: `10.71.1.${host}`,
      ready: true,
      serving: true,
      terminating: false,
      nodeName: "node-1",
      apiServerAddresses: [],
    })),
  };
}

type Store = ReturnType<typeof makeStore>;

/** A life in five steps: services come, scale, gain affinity, lose endpoints, and go. */
const STEPS: readonly ((store: Store) => void)[] = [
  (store) => {
    for (const n of [1, 2, 3]) {
      store.put(service(n));
      store.put(slice(n, [2, 3]));
    }
  },
  (store) => store.put(slice(1, [2, 3, 4])),
  (store) => store.put(service(2, { affinitySeconds: 60, externalTrafficPolicy: "Local" })),
  (store) => store.put(slice(3, [])),
  (store) => {
    store.remove("Service", "default/s1");
    store.remove("EndpointSlice", "default/s1-a");
  },
];

interface Rig {
  readonly store: Store;
  readonly kernel: FakeKernel;
  readonly apply: NftApply;
  readonly plan: NodePlan;
}

function rig(kernel = makeFakeKernel(), recovered?: TableContents): Rig {
  const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
  const apply = new NftApply(kernel, silentLogger);
  const contents = recovered === undefined ? new Map() : new Map([["ip" as const, recovered]]);
  const plan = new NodePlan(SETTINGS, store, [], contents, { families: ["ip"] });
  return { store, kernel, apply, plan };
}

async function run({ store, apply, plan }: Rig, step: (store: Store) => void): Promise<void> {
  step(store);
  plan.update(store, store.takeChanges(), []);
  await apply.sync(plan.families);
}

/** Elements and rules as text that does not depend on order. */
async function state(kernel: FakeKernel): Promise<string> {
  const contents = await kernel.read("ip", TABLE);
  if (contents === undefined) return "no table";
  const sets = [...contents.sets].flatMap(([name, elements]) =>
    [...elements.values()].map((e) => `${name} ${e.key} = ${e.data ?? ""}`),
  );
  const chains = [...contents.chains].map(([name, rules]) => `${name} ${rules.join(" | ")}`);
  return [...sets, ...chains].sort().join("\n");
}

describe("NftApply", () => {
  test("a change touches a handful of elements, in one batch", async () => {
    const all = rig();
    for (const step of STEPS.slice(0, 1)) await run(all, step);
    all.store.put(slice(1, [2]));
    all.plan.update(all.store, all.store.takeChanges(), []);
    const report = await all.apply.sync(all.plan.families);
    assert.equal(report.kind, "partial");
    assert.equal(report.batches, 1);
    assert.ok(report.elements <= 4, `touched ${report.elements} elements`);
  });

  test("nothing to change commits nothing", async () => {
    const all = rig();
    for (const step of STEPS) await run(all, step);
    const before = await all.kernel.generation();
    assert.equal((await all.apply.sync(all.plan.families)).kind, "nothing");
    assert.equal(await all.kernel.generation(), before);
  });

  test("a commit that fails at any call leaves the state of before, and the next sync heals", async () => {
    const clean = rig();
    const states: string[] = [await state(clean.kernel)];
    for (const step of STEPS) {
      await run(clean, step);
      states.push(await state(clean.kernel));
    }
    for (let failing = 1; failing <= STEPS.length + 2; failing++) {
      const all = rig();
      all.kernel.onCommit = (ordinal) => {
        if (ordinal === failing) throw new NftError("commit", "ENOMEM");
      };
      for (const [index, step] of STEPS.entries()) {
        try {
          await run(all, step);
        } catch {
          assert.equal(await state(all.kernel), states[index], `call ${failing}, step ${index}`);
          await all.apply.sync(all.plan.families);
        }
      }
      assert.deepEqual(elements(await state(all.kernel)), elements(states.at(-1) ?? ""));
    }
  });

  test("a restart finds its ids again and changes no element", async () => {
    const first = rig();
    for (const step of STEPS) await run(first, step);
    const contents = (await first.kernel.read("ip", TABLE)) ?? assert.fail("no table");
    const second = rig(first.kernel, contents);
    for (const step of STEPS) step(second.store);
    second.plan.update(second.store, second.store.takeChanges(), []);
    const report = await second.apply.sync(second.plan.families);
    assert.deepEqual([report.kind, report.elements], ["full", 0]);
  });

  test("chains that an earlier run needed go, those still pointed at stay", async () => {
    const first = rig();
    for (const step of STEPS.slice(0, 2)) await run(first, step);
    const contents = (await first.kernel.read("ip", TABLE)) ?? assert.fail("no table");
    assert.ok(contents.chains.has("mod-3"));
    const second = rig(first.kernel, contents);
    await run(second, STEPS[0] ?? assert.fail());
    const after = (await first.kernel.read("ip", TABLE)) ?? assert.fail("no table");
    assert.deepEqual([after.chains.has("mod-3"), after.chains.has("mod-2")], [false, true]);
  });

  test("a range that replaces a narrower one of itself is no reason to replace the table", async () => {
    const all = rig();
    const ranged = (range: string): Service =>
      service(1, {
        type: "LoadBalancer",
        loadBalancerVips: ["203.0.113.1"],
        loadBalancerSourceRanges: [range],
      });
    await run(all, (store) => store.put(ranged("10.1.0.0/16")));
    await run(all, (store) => store.put(ranged("10.0.0.0/8")));
    const contents = (await all.kernel.read("ip", TABLE)) ?? assert.fail("no table");
    const keys = [...(contents.sets.get("lb-allow")?.keys() ?? [])];
    assert.deepEqual(
      keys.map((key) => key.split(" . ")[1]),
      ["10.0.0.0/8"],
    );
  });

  const edits: readonly (readonly [string, (kernel: FakeKernel) => Promise<void>])[] = [
    ["deletes the table", (kernel) => commit(kernel, { kind: "delete-table" })],
    ["flushes a chain", (kernel) => commit(kernel, { kind: "flush-chain", chain: "services" })],
    [
      "adds a rule",
      (kernel) =>
        commit(kernel, {
          kind: "add-rule",
          chain: "services",
          rule: [{ kind: "verdict", verdict: { kind: "drop" } }],
        }),
    ],
    [
      "adds a chain",
      (kernel) => commit(kernel, { kind: "add-chain", chain: { name: "stranger" } }),
    ],
    [
      "deletes an element",
      (kernel) =>
        commit(kernel, {
          kind: "delete-elements",
          set: { name: "cluster-ips", key: ["daddr"] },
          keys: ["10.96.0.2"],
        }),
    ],
  ];
  for (const [what, edit] of edits) {
    test(`an audit mends what a stranger did who ${what}`, async () => {
      const all = rig();
      for (const step of STEPS) await run(all, step);
      assert.deepEqual((await all.apply.audit(all.plan.families, "everything")).drift, []);
      const before = await state(all.kernel);
      await edit(all.kernel);
      const { drift } = await all.apply.audit(all.plan.families, "elements");
      assert.equal(drift.length > 0, true);
      assert.deepEqual(essence(await state(all.kernel)), essence(before));
      assert.deepEqual((await all.apply.audit(all.plan.families, "elements")).drift, []);
    });
  }

  test("an audit of rules alone mends rules, and leaves elements for the next", async () => {
    const all = rig();
    for (const step of STEPS) await run(all, step);
    const [, [, flush] = [], , , [, remove] = []] = edits;
    assert(flush !== undefined && remove !== undefined);
    await remove(all.kernel);
    assert.deepEqual((await all.apply.audit(all.plan.families, "rules")).drift, []);
    assert.equal((await all.apply.audit(all.plan.families, "elements")).drift.length, 1);
    await flush(all.kernel);
    assert.equal((await all.apply.audit(all.plan.families, "rules")).drift.length, 1);
    assert.deepEqual((await all.apply.audit(all.plan.families, "everything")).drift, []);
  });

  test("what a stranger did before new chains were written does not count as ours", async () => {
    const all = rig();
    await run(all, (store) => STEPS[0]?.(store));
    const [, , [, addRule] = []] = edits;
    await addRule?.(all.kernel);
    await run(all, (store) => store.put(slice(1, [2, 3, 4])));
    assert.equal((await all.apply.audit(all.plan.families, "elements")).drift.length, 1);
  });

  test("a repair that failed is made up for by the next audit", async () => {
    const kernel = makeFakeKernel();
    const all = rig(kernel);
    for (const step of STEPS) await run(all, step);
    const before = await state(kernel);
    const [[, removeTable] = []] = edits;
    await removeTable?.(kernel);
    kernel.onCommit = () => {
      throw new NftError("commit", "ENOMEM");
    };
    await assert.rejects(all.apply.audit(all.plan.families, "elements"), NftError);
    kernel.onCommit = () => {};
    assert.equal((await all.apply.audit(all.plan.families, "rules")).drift.length, 0);
    assert.deepEqual(essence(await state(kernel)), essence(before));
  });

  test("one refused commit is no reason to replace the table", async () => {
    const kernel = makeFakeKernel();
    const first = rig(kernel);
    for (const step of STEPS) await run(first, step);
    const contents = (await kernel.read("ip", TABLE)) ?? assert.fail("no table");
    const second = rig(kernel, contents);
    let refusals = 0;
    await commit(kernel, { kind: "add-set", set: { name: "witness", key: ["daddr"] } });
    kernel.onCommit = () => {
      if (refusals++ === 0) throw new NftError("commit", "ENOBUFS");
    };
    for (const step of STEPS) await run(second, step);
    assert.ok(refusals > 1);
    assert.ok((await kernel.read("ip", TABLE))?.sets.has("witness"), "it is the same table");
  });
});

type Change = Parameters<FakeKernel["commit"]>[0][number]["changes"][number];

function commit(kernel: FakeKernel, change: Change): Promise<void> {
  return kernel.commit([{ family: "ip", table: TABLE, changes: [change] }]);
}

/** All but the chains for counts that no set has at the moment: they may go or stay. */
function essence(text: string): string[] {
  return text.split("\n").filter((line) => !/^(mod|aff)-\d/.test(line));
}

function elements(text: string): string[] {
  return text.split("\n").filter((line) => line.includes(" = "));
}

describe("NftApply and the lanes", () => {
  test("what it tells the kernel about workers is no stranger's commit", async () => {
    const r = rig();
    await run(r, STEPS[0] ?? assert.fail("no step"));
    for (let i = 0; i < 3; i++) await r.apply.tellLanes("living", ["ip"]);
    assert.deepEqual(await countReads(r, () => r.apply.audit(r.plan.families, "elements")), 0);
    await r.kernel.commit([]);
    assert.deepEqual(await countReads(r, () => r.apply.audit(r.plan.families, "elements")), 1);
  });

  test("a word that falls into an audit does not make the next audit look again", async () => {
    const r = rig();
    await run(r, STEPS[0] ?? assert.fail("no step"));
    await r.kernel.commit([]);
    const digest = r.kernel.digest.bind(r.kernel);
    r.kernel.digest = async (...args) => {
      await r.apply.tellLanes("living", ["ip"]);
      return digest(...args);
    };
    await r.apply.audit(r.plan.families, "elements");
    assert.deepEqual(await countReads(r, () => r.apply.audit(r.plan.families, "elements")), 0);
  });

  test("a word before there is a table is refused, and harms nothing", async () => {
    const r = rig();
    await assert.rejects(r.apply.tellLanes("living", ["ip"]), { code: "ENOENT" });
    await run(r, STEPS[0] ?? assert.fail("no step"));
    await r.apply.tellLanes("dead", ["ip"]);
    assert.deepEqual(await countReads(r, () => r.apply.audit(r.plan.families, "elements")), 0);
  });
});

async function countReads({ kernel }: Rig, body: () => Promise<unknown>): Promise<number> {
  const digest = kernel.digest.bind(kernel);
  let count = 0;
  kernel.digest = (...args) => {
    count++;
    return digest(...args);
  };
  await body();
  kernel.digest = digest;
  return count;
}

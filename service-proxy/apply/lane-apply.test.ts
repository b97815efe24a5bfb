import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  ProxyClient,
  ProxyFrontend,
  ProxyGroup,
  ProxyPlanDelta,
} from "../model/proxy-plan.ts";
import { ElementLedger } from "../plan/element-ledger.ts";
import { NO_PROXY_PARTS, ProxyLedger, type ProxyParts } from "../plan/proxy-ledger.ts";
import { LaneApply } from "./lane-apply.ts";

const SIDE = { group: "g", source: "node" } as const;
const FRONTEND: ProxyFrontend = { port: "p", inside: SIDE, outside: SIDE };
const GROUP: ProxyGroup = {
  service: "shop/web",
  port: 80,
  endpoints: [],
  balancing: { algorithm: "peak-ewma" },
  protocol: "http1",
  proxyProtocol: false,
};
const OWNER = { name: "shop/web", createdMs: 0 };
const EMPTY_LANES = { ledger: new ElementLedger(), nodePortAddresses: [] };
const CART: ProxyClient = { namespace: "shop", pod: "cart-1", serviceAccount: "cart" };

/** One Service that claims these frontends, all of one group. */
function parts(...frontends: readonly string[]): ProxyParts {
  if (frontends.length === 0) return NO_PROXY_PARTS;
  return {
    ...NO_PROXY_PARTS,
    frontends: new Map(frontends.map((key) => [key, FRONTEND])),
    groups: new Map([["g", GROUP]]),
  };
}

function rig() {
  const ledger = new ProxyLedger();
  const plan = {
    families: [{ proxy: ledger, options: { family: "ip" as const }, ...EMPTY_LANES }],
  };
  const events: string[] = [];
  const deltas: ProxyPlanDelta[] = [];
  let before = NO_PROXY_PARTS;
  const state = { zone: "a", clients: new Map<string, ProxyClient>() };
  const lanes = new LaneApply({
    pool: {
      start: () => events.push("start"),
      update: async (delta) => {
        events.push("update");
        deltas.push(delta);
      },
    },
    node: () => ({ nodeName: "node-1", zone: state.zone, hostAddresses: [] }),
    clients: () => state.clients,
    onInstalled: () => events.push("installed"),
    settle: async () => void events.push("settle"),
  });
  /** What one sync does around its commit. */
  const sync = async (...frontends: readonly string[]): Promise<void> => {
    const after = parts(...frontends);
    ledger.replace(OWNER, before, after);
    before = after;
    await lanes.prepare(plan);
    lanes.release();
  };
  /** What was told since the last call: keys by `+` and `-`. */
  const told = (): readonly string[] =>
    deltas
      .splice(0)
      .flatMap(({ frontends, groups, clients, node }) => [
        ...(node === undefined ? [] : [`node ${node.zone}`]),
        ...[...frontends, ...groups, ...clients].map(([key, value]) =>
          value === null ? `-${key}` : `+${key}`,
        ),
      ]);
  return { lanes, ledger, plan, events, sync, told, state };
}

test("workers start with the first Service that needs one, before its commit", async () => {
  const { sync, events, told } = rig();
  await sync();
  assert.deepEqual(events, ["update", "settle", "installed"]);
  await sync("10.96.0.1 80");
  assert.deepEqual(events.slice(3), ["update", "start", "installed"]);
  assert.deepEqual(told().slice(-2), ["+10.96.0.1 80", "+g"]);
});

test("workers that start with the first plan, or ran before it, are told all of it", async () => {
  const { sync, events, lanes, told } = rig();
  await sync("10.96.0.1 80");
  assert.deepEqual(events, ["update", "start", "settle", "installed"]);
  assert.deepEqual(lanes.whole().frontends, [["10.96.0.1 80", FRONTEND]]);
  assert.deepEqual(told(), ["node a", "+10.96.0.1 80", "+g"]);
});

test("what is new is told before the commit, what is gone after it", async () => {
  const { sync, events, told } = rig();
  await sync("10.96.0.1 80");
  events.length = 0;
  told();
  await sync("10.96.0.2 80");
  assert.deepEqual(events, ["update", "start", "installed", "update"]);
  assert.deepEqual(told(), ["+10.96.0.2 80", "-10.96.0.1 80"]);
});

test("nothing is told when nothing changed", async () => {
  const { sync, told } = rig();
  await sync("10.96.0.1 80");
  told();
  await sync("10.96.0.1 80");
  assert.deepEqual(told(), []);
});

test("what was gone in a sync that failed, and came back, is not taken away", async () => {
  const { sync, ledger, plan, lanes, told } = rig();
  await sync("10.96.0.1 80");
  told();
  const [all, none] = [parts("10.96.0.1 80"), NO_PROXY_PARTS];
  ledger.replace(OWNER, all, none);
  await lanes.prepare(plan);
  // The commit fails here: the kernel still sends connections to it, and nothing is released.
  ledger.replace(OWNER, none, all);
  await lanes.prepare(plan);
  lanes.release();
  assert.deepEqual(told(), ["+10.96.0.1 80", "+g"]);
});

test("clients and the node's own facts are told when they change", async () => {
  const { sync, told, state } = rig();
  await sync("10.96.0.1 80");
  told();
  state.zone = "b";
  state.clients = new Map([["10.1.0.5", CART]]);
  await sync("10.96.0.1 80");
  assert.deepEqual(told(), ["node b", "+10.1.0.5"]);
  state.clients = new Map();
  await sync("10.96.0.1 80");
  assert.deepEqual(told(), ["-10.1.0.5"]);
});

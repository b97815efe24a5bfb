import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProxyFrontend } from "../model/proxy-plan.ts";
import { NO_PROXY_PARTS, ProxyLedger, type ProxyParts } from "./proxy-ledger.ts";

const KEY = "10.96.0.1 80";

function frontend(port: string): ProxyFrontend {
  const side = { group: port, source: "client" } as const;
  return { port, inside: side, outside: side };
}

function asks(port: string): ProxyParts {
  return { ...NO_PROXY_PARTS, frontends: new Map([[KEY, frontend(port)]]) };
}

function ledger(...claims: readonly (readonly [name: string, createdMs: number])[]): ProxyLedger {
  const made = new ProxyLedger();
  for (const [name, createdMs] of claims) {
    made.replace({ name, createdMs }, NO_PROXY_PARTS, asks(name));
  }
  made.takeFresh();
  made.takeGone();
  return made;
}

function winner(made: ProxyLedger): string | undefined {
  return new Map(made.whole().frontends).get(KEY)?.port;
}

test("the older of two Services has the frontend, and of two of one age the first by name", () => {
  assert.equal(winner(ledger(["young", 2], ["old", 1])), "old");
  assert.equal(winner(ledger(["old", 1], ["young", 2])), "old");
  assert.equal(winner(ledger(["b", 1], ["a", 1])), "a");
});

test("when the older one goes the other has it, and workers are told", () => {
  const made = ledger(["old", 1], ["young", 2]);
  made.replace({ name: "old", createdMs: 1 }, asks("old"), NO_PROXY_PARTS);
  const [fresh, gone] = [made.takeFresh(), made.takeGone()];
  assert.deepEqual(fresh.frontends, [[KEY, frontend("young")]]);
  assert.deepEqual(gone.frontends, []);
});

test("a Service that was made anew is as young as it says", () => {
  const made = ledger(["old", 1], ["young", 2]);
  made.replace({ name: "old", createdMs: 3 }, asks("old"), asks("old"));
  assert.equal(winner(made), "young");
});

test("what nobody asks for any more is gone; what stays the same is not told again", () => {
  const made = ledger(["a", 1]);
  made.replace({ name: "a", createdMs: 1 }, asks("a"), asks("a"));
  assert.deepEqual(made.takeFresh().frontends, []);
  made.replace({ name: "a", createdMs: 1 }, asks("a"), NO_PROXY_PARTS);
  assert.deepEqual(made.takeGone().frontends, [[KEY, null]]);
  assert.equal(made.isEmpty, true);
});

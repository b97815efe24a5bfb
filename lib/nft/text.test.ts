import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Rule } from "./objects.ts";
import { sampleRuleset, sampleSets } from "./sample-ruleset.ts";
import { formatChange, formatElement, formatRule, formatSet, formatTransaction } from "./text.ts";

for (const family of ["ip", "ip6"] as const) {
  test(`the sample ruleset prints as its golden: ${family}`, () => {
    const path = join(import.meta.dirname, "testdata", `sample-${family}.nft`);
    assert.equal(formatTransaction(sampleRuleset(family)), readFileSync(path, "utf8"));
  });
}

test("an IPv6 map update is a comment that gives the reason, since nft 1.0.6 aborts on it", () => {
  const lines = formatTransaction(sampleRuleset("ip6")).split("\n");
  const comments = lines.filter((line) => line.startsWith("#"));
  assert.equal(comments.length, 2);
  for (const line of comments) assert.match(line, /affinity.*# nft 1\.0\.6 aborts/);
});

test("removals print as nft commands", () => {
  const format = (change: Parameters<typeof formatChange>[1]): string =>
    formatChange({ family: "ip6", table: "t" }, change);
  assert.equal(format({ kind: "delete-table" }), "delete table ip6 t");
  assert.equal(format({ kind: "delete-set", set: "s" }), "delete set ip6 t s");
  assert.equal(format({ kind: "flush-chain", chain: "c" }), "flush chain ip6 t c");
  assert.equal(format({ kind: "delete-chain", chain: "c" }), "delete chain ip6 t c");
  const set = sampleSets.localPods;
  assert.equal(
    format({ kind: "delete-elements", set, keys: ["fd00::/8", "fe80::/10"] }),
    "delete element ip6 t local-pods {\n  fd00::/8,\n  fe80::/10\n}",
  );
});

test("empty braces are a syntax error to nft, so no elements print as a comment", () => {
  const change = { kind: "add-elements", set: sampleSets.vips, elements: [] } as const;
  assert.match(formatChange({ family: "ip", table: "t" }, change), /^#/);
});

test("a set prints its typeof, flags, timeout, size and comment", () => {
  const text = "map vips { typeof ip6 daddr . meta l4proto . th dport : meta priority; ";
  assert.equal(formatSet("ip6", sampleSets.vips), `${text}comment "entry points"; }`);
  assert.equal(
    formatSet("ip", sampleSets.affinity),
    "map affinity { typeof ip saddr . meta priority : meta priority; " +
      "flags dynamic,timeout; timeout 10800s; size 262144; }",
  );
});

test("interface names are quoted, other keys are not", () => {
  assert.equal(formatElement(sampleSets.uplinks, { key: "eth0.100" }), '"eth0.100"');
  assert.equal(
    formatElement(sampleSets.setVerdicts, { key: "0:1", data: "goto c", comment: "a/b" }),
    '0:1 comment "a/b" : goto c',
  );
});

test("a quote cannot leave its comment", () => {
  assert.throws(() => formatElement(sampleSets.setVerdicts, { key: "0:1", comment: 'a" : drop' }));
});

test("reject names the ICMP of its family", () => {
  const rule: Rule = [{ kind: "reject" }];
  assert.equal(formatRule("ip", rule), "reject with icmp port-unreachable");
  assert.equal(formatRule("ip6", rule), "reject with icmpv6 port-unreachable");
});

// What `innermesh policy diff` says of recorded edges, over the cluster in examples/policy.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { POLICY_FLAG } from "../can.ts";
import { WrongUse } from "../exit.ts";
import { takeSnapshot } from "../snapshot.ts";
import { readEdges } from "./edge-files.ts";
import { formatDiff, formatEdges } from "./edge-text.ts";
import { diffPolicies, type PolicyDiff } from "./policy-diff.ts";
import { parseRemoval, readPolicyFiles } from "./policy-files.ts";

const ROOT = join(import.meta.dirname, "../..");
const TESTDATA = join(import.meta.dirname, "testdata");
const EDGES = readEdges(join(TESTDATA, "edges.json"));
/** Of the last edge in the file, and some minutes. */
const NOW_MS = 1_700_000_000_000;

async function diff(
  files: readonly string[],
  removals: readonly string[] = [],
): Promise<PolicyDiff> {
  const source = `--source=dir:${join(ROOT, "examples/policy")}`;
  const snapshot = await takeSnapshot([source, "--identity=off", POLICY_FLAG]);
  const put = readPolicyFiles(files.map((file) => join(TESTDATA, file)));
  return diffPolicies(snapshot, { put, remove: removals.map(parseRemoval) }, [EDGES]);
}

const golden = (name: string): string => readFileSync(join(TESTDATA, name), "utf8");

describe("policy diff", () => {
  test("golden: edges, pods of one workload together", () => {
    assert.equal(formatEdges(EDGES, NOW_MS), golden("edges.txt"));
  });
  test("golden: what would be newly denied, by which rule, with pods that are gone", async () => {
    assert.equal(formatDiff(await diff(["only-front.yaml"]), NOW_MS), golden("diff.txt"));
  });
  test("a policy that is left out allows what it kept out", async () => {
    const { denied, allowed } = await diff([], ["NetworkPolicy/data/default-deny"]);
    assert.deepEqual([denied.length, allowed.length], [0, 0], "another one closes the same pod");
    const both = ["NetworkPolicy/data/default-deny", "networkpolicy/data/postgres"];
    const opened = await diff([], [...both, "ClusterNetworkPolicy/namespaces-apart"]);
    assert.deepEqual(
      opened.allowed.map(({ client }) => client.pod?.name),
      ["front-7c5-aaaaa"],
    );
  });
  test("rules about requests turn an allow into a question", async () => {
    const { denied, opened, requests } = await diff(["reads.yaml"]);
    assert.deepEqual(
      opened.map(({ client }) => client.pod?.name),
      ["front-7c5-aaaaa", "front-7c5-bbbbb"],
    );
    assert.deepEqual(denied, []);
    assert.deepEqual(
      requests.denied.map(({ client, request }) => [client.pod?.name, request.path]),
      [
        ["front-7c5-aaaaa", "/orders"],
        ["front-7c5-bbbbb", "/orders"],
      ],
    );
  });
  test("golden: which recorded requests would be newly denied, pods of one workload together", async () => {
    assert.equal(formatDiff(await diff(["reads.yaml"]), NOW_MS), golden("requests.txt"));
  });
  test("what is not there cannot be left out, and a kind must be one of policies", async () => {
    await assert.rejects(diff([], ["NetworkPolicy/data/none"]), WrongUse);
    assert.throws(() => parseRemoval("Pod/data/none"), WrongUse);
    assert.throws(() => readEdges(join(TESTDATA, "reads.yaml")), WrongUse);
  });
});

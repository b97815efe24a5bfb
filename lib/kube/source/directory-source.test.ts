// The source contract against folders, and what folders alone can do wrong.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { stringify } from "yaml";
import { systemClock } from "../../clock/system-clock.ts";
import { asRecord } from "../api/fields.ts";
import { type KubeStore, makeStore } from "../store.ts";
import type { WatchReport } from "../watch-report.ts";
import { ALL_KINDS } from "./api-source.ts";
import { runDirectorySource } from "./directory-source.ts";
import { CONTRACT_NODE, type SourceHarness, testSource, until } from "./source-contract.ts";

type Extension = "yaml" | "json";

async function makeHarness(extension: Extension): Promise<SourceHarness> {
  const path = await mkdtemp(join(tmpdir(), "im-directory-source-"));
  const format = extension === "yaml" ? stringify : JSON.stringify;
  const fileOf = (kind: unknown, name: unknown): string =>
    join(path, `${String(kind).toLowerCase()}-${String(name)}.${extension}`);
  return {
    async put(manifest) {
      const { name } = asRecord(manifest["metadata"]);
      await writeFile(join(path, ".new"), format(manifest));
      await rename(join(path, ".new"), fileOf(manifest["kind"], name));
    },
    remove: ({ kind, name }) => rm(fileOf(kind, name)),
    run(store, signal) {
      const clock = systemClock;
      return runDirectorySource({ path, store, clock, nodeName: CONTRACT_NODE, signal });
    },
    close: () => rm(path, { recursive: true }),
  };
}

testSource("directory source, YAML", () => makeHarness("yaml"));
testSource("directory source, JSON", () => makeHarness("json"));

const SERVICE = `apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  clusterIP: 10.96.0.10
  ports: [{ port: 80 }]
`;

interface Folder {
  readonly path: string;
  readonly store: KubeStore;
  readonly reports: readonly WatchReport[];
  readonly write: (name: string, text: string) => Promise<void>;
  readonly ports: (key: string) => readonly number[] | undefined;
}

async function withFolder(body: (folder: Folder) => Promise<void>, pollMs = 5_000): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), "im-folder-"));
  const stop = new AbortController();
  const store = makeStore(ALL_KINDS);
  const reports: WatchReport[] = [];
  const running = runDirectorySource({
    path,
    store,
    clock: systemClock,
    nodeName: CONTRACT_NODE,
    signal: stop.signal,
    onEvent: (report) => reports.push(report),
    pollMs,
  });
  const write = (name: string, text: string): Promise<void> => writeFile(join(path, name), text);
  const ports = (key: string): readonly number[] | undefined =>
    store.services.get(key)?.ports.map(({ port }) => port);
  try {
    await until(store, () => store.synced);
    await body({ path, store, reports, write, ports });
  } finally {
    stop.abort();
    await running;
    await rm(path, { recursive: true, force: true });
  }
}

test("a half-written file keeps its last objects and says file and line", async () => {
  await withFolder(async ({ store, write, ports }) => {
    await write("web.yaml", SERVICE);
    await until(store, () => store.services.has("default/web"));
    await write("web.yaml", `${SERVICE}  type: [\n`);
    await until(store, () => store.problems.has("file web.yaml"));
    assert.deepEqual(ports("default/web"), [80]);
    assert.match(store.problems.get("file web.yaml")?.[0]?.object ?? "", /^file web\.yaml:[78]$/);
    await write("web.yaml", SERVICE.replace("port: 80", "port: 81"));
    await until(store, () => ports("default/web")?.[0] === 81);
    assert.equal(store.problems.size, 0);
  });
});

test("a file cut in the middle of a Service keeps that Service's last form", async () => {
  await withFolder(async ({ store, write, ports }) => {
    await write("web.yaml", SERVICE);
    await until(store, () => store.services.has("default/web"));
    await write("web.yaml", SERVICE.slice(0, SERVICE.indexOf("  ports:")));
    await until(store, () => store.problems.has("file web.yaml"));
    assert.deepEqual(ports("default/web"), [80]);
  });
});

test("two files with the same Service: the first by name counts, until it goes", async () => {
  await withFolder(async ({ path, store, write, ports }) => {
    await write("b.yaml", SERVICE);
    await until(store, () => store.services.has("default/web"));
    await write("a.yaml", SERVICE.replace("port: 80", "port: 81"));
    await until(store, () => ports("default/web")?.[0] === 81);
    assert.match(store.problems.get("file b.yaml")?.[0]?.message ?? "", /is in a\.yaml:1 too/);
    await rm(join(path, "a.yaml"));
    await until(store, () => ports("default/web")?.[0] === 80);
    assert.equal(store.problems.size, 0);
  });
});

test("a mounted ConfigMap, which changes by swapping a symbolic link, is followed", async () => {
  await withFolder(async ({ path, store, ports }) => {
    for (const [version, port] of [
      ["..1", 80],
      ["..2", 81],
    ] as const) {
      await mkdir(join(path, version));
      const text = SERVICE.replace("port: 80", `port: ${port}`);
      await writeFile(join(path, version, "web.yaml"), text);
    }
    await symlink("..1", join(path, "..data"));
    await symlink("..data/web.yaml", join(path, "web.yaml"));
    await until(store, () => ports("default/web")?.[0] === 80);
    await symlink("..2", join(path, "..data.new"));
    await rename(join(path, "..data.new"), join(path, "..data"));
    await until(store, () => ports("default/web")?.[0] === 81);
  });
});

test("a folder that goes away keeps all, is reported, and is found again", async () => {
  await withFolder(async ({ path, store, reports, write, ports }) => {
    await write("web.yaml", SERVICE);
    await until(store, () => store.services.has("default/web"));
    await rename(path, `${path}-away`);
    await until(store, () => store.problems.has(`folder ${path}`));
    assert.equal(reports.at(-1)?.kind, "failed");
    assert.deepEqual(ports("default/web"), [80]);
    await rename(`${path}-away`, path);
    await until(store, () => store.problems.size === 0);
    await write("web.yaml", SERVICE.replace("port: 80", "port: 81"));
    await until(store, () => ports("default/web")?.[0] === 81);
  }, 10);
});

test("hidden files, other files and folders inside are left alone", async () => {
  await withFolder(async ({ path, store, write }) => {
    await write(".web.yaml", SERVICE);
    await write("web.txt", SERVICE);
    await mkdir(join(path, "deep.yaml"));
    await write("db.yaml", SERVICE.replace("web", "db"));
    await until(store, () => store.services.has("default/db"));
    assert.equal(store.services.size, 1);
    assert.equal(store.problems.size, 0);
  });
});

test("ServiceAccounts and the pods of all nodes are read, for who wants them", async () => {
  await withFolder(async ({ store, write }) => {
    const pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: there }\nspec: { nodeName: other }\n";
    const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: web }\n";
    await write("objects.yaml", `${pod}---\n${account}`);
    await until(store, () => store.serviceAccounts.has("default/web"));
    assert.ok(store.pods.has("default/there"));
  });
});

test("policies are read, and what is wrong in one is told by its line", async () => {
  await withFolder(async ({ store, write }) => {
    const policy = [
      "apiVersion: networking.k8s.io/v1",
      "kind: NetworkPolicy",
      "metadata: { name: web }",
      "spec:",
      "  podSelector: {}",
      "  ingress:",
      "    - from:",
      "        - podSelectors: {}",
    ].join("\n");
    await write("policy.yaml", policy);
    await until(store, () => store.networkPolicies.has("default/web"));
    const [rule] = store.networkPolicies.get("default/web")?.ingress ?? [];
    assert.deepEqual(rule, { peers: [], ports: [] });
    const [problem] = store.problems.get("file policy.yaml") ?? [];
    assert.match(
      `${problem?.object} ${problem?.field}`,
      /^file policy\.yaml:8 spec\.ingress\[0\]\.from/,
    );
  });
});

// Which program is taken, and that a missing one is built once or refused in one sentence. The Go
// here is a script that notes each call and writes what -o names.

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { BinaryError, ensureBinaries, pinnedVersion } from "./binaries.ts";

const FAKE_GO = `#!/bin/sh
if [ "$1" = env ]; then echo "$FAKE_GO_VERSION"; exit 0; fi
echo "$*" >> "$FAKE_GO_CALLS"
if [ -n "$FAKE_GO_ERROR" ]; then echo "$FAKE_GO_ERROR" >&2; exit 1; fi
while [ "$1" != -o ]; do shift; done
sleep 0.2; echo built > "$2"; chmod +x "$2"
`;

suite("binaries", () => {
  let directory: string;
  let environment: Record<string, string>;
  let announced: string[];
  const onBuild = (line: string): number => announced.push(line);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "innermesh-binaries-"));
    announced = [];
    environment = {
      PATH: `${directory}/go-bin:/usr/bin:/bin`,
      XDG_CACHE_HOME: join(directory, "cache"),
      FAKE_GO_VERSION: "go1.26.8",
      FAKE_GO_CALLS: join(directory, "calls"),
    };
    await writeExecutable(join(directory, "go-bin"), "go", FAKE_GO);
  });
  afterEach(async () => rm(directory, { recursive: true }));

  test("a program in KUBEBUILDER_ASSETS wins and nothing is built", async () => {
    const assets = join(directory, "assets");
    await writeExecutable(assets, "etcd", "");
    const found = await ensureBinaries(["etcd"], {
      environment: { ...environment, KUBEBUILDER_ASSETS: assets },
      onBuild,
    });
    assert.equal(found.etcd, join(assets, "etcd"));
    assert.deepEqual(announced, []);
  });

  test("callers at the same time build once, and later ones need no Go", async () => {
    const paths = await Promise.all(
      [1, 2, 3].map(async () => (await ensureBinaries(["etcd"], { environment, onBuild })).etcd),
    );
    const expected = `${directory}/cache/innermesh/bin/${await pinnedVersion("etcd")}/etcd`;
    assert.deepEqual(new Set(paths), new Set([expected]));
    const calls = await readFile(join(directory, "calls"), "utf8");
    assert.equal(calls.trim().split("\n").length, 1);
    assert.match(announced.join("\n"), /^Building etcd v3\.\d+\.\d+ with Go, once; .*$/);
    const again = { environment: { ...environment, PATH: "/bin-without-go" }, onBuild };
    assert.equal((await ensureBinaries(["etcd"], again)).etcd, expected);
  });

  test("a Kubernetes program is stamped with its version", async () => {
    await ensureBinaries(["kube-proxy"], { environment, onBuild });
    const calls = await readFile(join(directory, "calls"), "utf8");
    const version = await pinnedVersion("kube-proxy");
    assert.ok(calls.includes(`component-base/version.gitVersion=${version}`), calls);
    assert.ok(calls.trim().endsWith("k8s.io/kubernetes/cmd/kube-proxy"), calls);
  });

  test("a missing or old Go is named in one sentence", async () => {
    await rm(join(directory, "go-bin", "go"));
    await assert.rejects(
      ensureBinaries(["etcd"], {
        environment: { ...environment, PATH: `${directory}/go-bin` },
        onBuild,
      }),
      new BinaryError(
        "NO_GO",
        "Cannot find etcd: not in KUBEBUILDER_ASSETS nor in the cache, " +
          "and Go, which would build it, is not in PATH",
      ),
    );
    await writeExecutable(join(directory, "go-bin"), "go", FAKE_GO);
    const old = { ...environment, FAKE_GO_VERSION: "go1.19.8" };
    await assert.rejects(ensureBinaries(["etcd"], { environment: old, onBuild }), {
      code: "OLD_GO",
      message: /needs Go 1\.21 or newer: found go1\.19\.8$/,
    });
  });

  test("a failed build tells what Go said and leaves nothing in the cache", async () => {
    const broken = { ...environment, FAKE_GO_ERROR: "main.go:1: no luck" };
    await assert.rejects(ensureBinaries(["etcd"], { environment: broken, onBuild }), {
      code: "BUILD_FAILED",
      message: /Cannot build etcd v3.*\nmain\.go:1: no luck$/,
    });
    const cache = join(directory, "cache/innermesh/bin", await pinnedVersion("etcd"));
    assert.deepEqual(await readdir(cache), [".lock"]);
  });
});

async function writeExecutable(directory: string, name: string, content: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, name), content);
  await chmod(join(directory, name), 0o755);
}

// The container image as a container would run it: its own root file system, read-only, and no
// more capabilities than the DaemonSet grants. No container engine takes part.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { APP, buildImage } from "../../scripts/image.ts";
import { ROOT } from "../../scripts/steps.ts";

const run = promisify(execFile);

/** In a mount namespace of its own, so that nothing is left to clean up. */
const CONTAINER = `
set -eu
root=$1 drop=$2 program=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
exec capsh --chroot="$root" --drop="$drop" --no-new-privs --shell="$program" -- "$@"
`;

suite("the container image", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "innermesh-image-"));
    await buildImage(root);
  });
  after(() => rm(root, { recursive: true, force: true }));

  /** Runs a program of the image. @param dropped capabilities, as capsh writes them */
  const inside = async (dropped: string, words: readonly string[]): Promise<string> => {
    const shell = ["sh", "-c", CONTAINER, "sh", root, dropped, ...words];
    const { stdout } = await run("unshare", ["--mount", "--pid", "--fork", ...shell], {
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    return stdout;
  };

  test("tells its version without any capability", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
      readonly version: string;
    };
    const output = await inside("all", ["/usr/bin/innermesh", "version"]);
    assert.ok(output.includes(version), output);
  });

  for (const program of ["nft", "ip", "iptables-nft-save", "ip6tables-legacy-restore"]) {
    test(`brings ${program} with all it is linked to`, async () => {
      const flag = program === "ip" ? "-V" : "--version";
      assert.match(await inside("all", [`/usr/bin/${program}`, flag]), /v?\d+\.\d+/);
    });
  }

  test("holds no test of ours and no tool of development", async () => {
    const files = await readdir(join(root, APP), { recursive: true });
    const ours = files.filter((path) => !path.startsWith("node_modules/"));
    assert.ok(ours.includes("lib/nft/objects.ts"));
    assert.deepEqual(
      ours.filter((path) => path.endsWith(".test.ts")),
      [],
    );
    assert.ok(files.includes("node_modules/yaml"));
    assert.ok(!files.includes("node_modules/typescript"));
  });
});

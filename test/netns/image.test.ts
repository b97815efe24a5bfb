// What is in the container image, and that it works there: read-only and without any capability.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { promisify } from "node:util";
import { APP } from "../../scripts/image.ts";
import { ROOT } from "../../scripts/steps.ts";
import { ContainerImage } from "./container.ts";

const run = promisify(execFile);

suite("the container image", () => {
  let image: ContainerImage;
  before(async () => {
    image = await ContainerImage.open();
  });

  const inside = async (entrypoint: string, ...args: readonly string[]): Promise<string> => {
    const [program = "", ...words] = image.command(args, { capabilities: [], entrypoint });
    return (await run(program, words)).stdout;
  };

  test("tells its version without any capability", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
      readonly version: string;
    };
    const output = await inside(image.entrypoint, "version");
    assert.ok(output.includes(version), output);
  });

  for (const program of ["nft", "ip", "iptables-nft-save", "ip6tables-legacy-restore"]) {
    test(`brings ${program} with all it is linked to`, async () => {
      const flag = program === "ip" ? "-V" : "--version";
      assert.match(await inside(`/usr/bin/${program}`, flag), /v?\d+\.\d+/);
    });
  }

  test("holds no test of ours and no tool of development", async () => {
    const files = await readdir(join(image.path, APP), { recursive: true });
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

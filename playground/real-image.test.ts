import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { writeImage } from "./real-image.ts";

test("tar reads an image back: manifest, configuration and the files in its one layer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "innermesh-image-"));
  try {
    const archive = join(directory, "image.tar");
    const content = Buffer.from("x".repeat(513));
    const files = new Map([["/usr/local/bin/server", content]]);
    const names = ["a.invalid/b:1", "a.invalid/b:2"];
    await writeImage({ names, files, entrypoint: ["/server"] }, archive);
    const untar = (...words: string[]): string =>
      execFileSync("tar", ["-C", directory, "-xvf", ...words], { encoding: "utf8" });
    assert.match(untar(archive), /^[0-9a-f]{64}\.json\nlayer\.tar\nmanifest\.json\n$/);
    assert.equal(untar(join(directory, "layer.tar")), "usr/local/bin/server\n");
    assert.deepEqual(readFileSync(join(directory, "usr/local/bin/server")), content);
    const manifest = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8")) as [
      { readonly RepoTags: readonly string[] },
    ];
    assert.deepEqual(manifest[0].RepoTags, names);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readSuppliedFiles } from "./supplied-files.ts";

test("what is mounted is read anew each time; nothing there is no CA, half of one is told", async () => {
  const directory = await mkdtemp(join(tmpdir(), "im-supplied-"));
  try {
    assert.equal(await readSuppliedFiles(directory), undefined);
    await writeFile(join(directory, "tls.crt"), "certificate");
    assert.deepEqual(await readSuppliedFiles(directory), { "tls.crt": "certificate" });
    await writeFile(join(directory, "tls.key"), "key");
    await writeFile(join(directory, "ca.crt"), "roots");
    assert.deepEqual(await readSuppliedFiles(directory), {
      "tls.crt": "certificate",
      "tls.key": "key",
      "ca.crt": "roots",
    });
    await assert.rejects(readSuppliedFiles(join(directory, "tls.crt")), { code: "ENOTDIR" });
  } finally {
    await rm(directory, { recursive: true });
  }
});

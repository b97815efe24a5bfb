import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { podAddresses } from "./pod-addresses.ts";
import { takeSnapshot } from "./snapshot.ts";

const pod = (name: string, ip: string, kind: object = { kind: "Pod" }): object => ({
  ...kind,
  metadata: { namespace: "shop", name },
  status: { podIP: ip },
});

test("a pod is found by its name wherever a file may have it", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "innermesh-pods-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, ...documents: readonly object[]): void =>
    writeFileSync(
      join(folder, name),
      documents.map((document) => `---\n${JSON.stringify(document)}\n`).join(""),
    );
  const service = { kind: "Service", metadata: { namespace: "shop", name: "web" } };
  write("a.yaml", service, pod("alone", "10.0.0.1"));
  const listed = { kind: "List", apiVersion: "v1", items: [service, pod("listed", "10.0.0.2")] };
  write("b.yml", listed, { kind: "List" });
  write("c.json", { kind: "PodList", items: [null, pod("bare", "10.0.0.3", {})] });
  const { settings } = await takeSnapshot([`--source=dir:${folder}`]);
  const found = (name: string) => podAddresses(settings, name);
  assert.deepEqual(await found("shop/alone"), ["10.0.0.1"]);
  assert.deepEqual(await found("shop/listed"), ["10.0.0.2"]);
  assert.deepEqual(await found("shop/bare"), ["10.0.0.3"]);
  for (const other of ["shop/web", "listed", "shop/none"]) assert.deepEqual(await found(other), []);
});

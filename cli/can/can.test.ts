// What `innermesh can` says about the cluster in examples/policy.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { askCan } from "../can.ts";
import { WrongUse } from "../exit.ts";
import type { CanReport } from "./can-report.ts";
import { formatCan } from "./can-text.ts";

const ROOT = join(import.meta.dirname, "../..");
const TESTDATA = join(import.meta.dirname, "testdata");

interface Asked {
  readonly request?: readonly string[];
  readonly protocol?: "tcp" | "udp";
  readonly file?: readonly string[];
  readonly source?: string;
  readonly flags?: readonly string[];
}

function can(from: string, to: string, asked: Asked = {}): Promise<CanReport> {
  const { request = [], protocol = "tcp", file = [], source = "examples/policy" } = asked;
  const flags = [`--source=dir:${join(ROOT, source)}`, ...(asked.flags ?? ["--identity=off"])];
  return askCan({ from, to, protocol, file, host: "", header: [], rest: [...request, ...flags] });
}

async function verdict(from: string, to: string, asked?: Asked): Promise<string> {
  const { verdict: said, ways } = await can(from, to, asked);
  return `${said} by ${ways[0]?.lane}`;
}

describe("can", () => {
  test("of two callers with the same labels the proved ServiceAccount tells them apart", async () => {
    assert.equal(await verdict("shop/front", "shop/payments:8080"), "allow by tunnel");
    assert.equal(await verdict("shop/batch", "shop/payments:8080"), "deny by tunnel");
  });
  test("golden: a denial", async () => {
    const golden = readFileSync(join(TESTDATA, "denied.txt"), "utf8");
    assert.equal(formatCan(await can("shop/batch", "shop/payments:http")), golden);
  });
  test("golden: differences between the pods of a ServiceAccount", async () => {
    const golden = readFileSync(join(TESTDATA, "several.txt"), "utf8");
    const source = "cli/can/testdata/several";
    assert.equal(formatCan(await can("shop/sa/front", "shop/svc/pay:80", { source })), golden);
  });
  test("a request is asked of the rules about requests, without one it is open", async () => {
    const to = "shop/orders:http";
    assert.equal(await verdict("shop/front", to), "open by tunnel");
    const ask = (...request: readonly string[]) => verdict("shop/batch", to, { request });
    assert.equal(await ask("GET", "/orders/7?all"), "allow by tunnel");
    assert.equal(await ask("GET", "/orders/../admin"), "deny by tunnel");
    assert.equal(await ask("POST", "/orders"), "deny by tunnel");
  });
  test("without identities on the nodes nobody proves anything", async () => {
    const report = await can("shop/front", "shop/payments:8080", { flags: [] });
    assert.equal(report.ways[0]?.lane, "closed");
    assert.match(formatCan(report), /denied\nno identities with these flags/);
  });
  test("what goes over UDP to a port that needs a certificate is denied", async () => {
    const asked = { protocol: "udp" } as const;
    assert.equal(await verdict("shop/front", "shop/payments:8080", asked), "deny by closed");
  });
  test("nodes reach their own pods, addresses outside are judged by what policies say", async () => {
    assert.equal(await verdict("192.168.78.11", "shop/payments:8080"), "allow by host");
    assert.equal(await verdict("192.168.78.12", "shop/payments:8080"), "deny by closed");
    assert.equal(await verdict("9.9.9.9", "10.72.1.4:5432"), "deny by kernel");
    assert.equal(await verdict("shop/front", "169.254.169.254:80"), "deny by kernel");
  });
  test("a file is judged before it is applied", async () => {
    const file = [join(TESTDATA, "open-postgres.yaml")];
    assert.equal(await verdict("shop/front", "data/postgres:sql"), "deny by kernel");
    assert.equal(await verdict("shop/front", "data/postgres:sql", { file }), "allow by kernel");
  });
  test("who is not there, and what cannot be read, is wrong use", async () => {
    const cases: readonly (readonly [string, string, Asked, RegExp])[] = [
      ["shop/nobody", "shop/front:80", {}, /Cannot find Pod "shop\/nobody"/],
      ["shop/sa/nobody", "shop/front:80", {}, /ServiceAccount "shop\/nobody"/],
      ["shop/front", "shop/svc/none:80", {}, /Service "shop\/none"/],
      ["shop/front", "shop/orders:ftp", {}, /TCP port "ftp"/],
      ["shop/front", "shop/orders", {}, /NAMESPACE\/POD:PORT/],
      ["shop/front", "[fd00::1]:80", {}, /share no IP family/],
      ["shop/front", "shop/orders:80", { file: [join(ROOT, "Makefile")] }, /Cannot/],
    ];
    for (const [from, to, asked, message] of cases) {
      await assert.rejects(can(from, to, asked), (error) => {
        assert.ok(error instanceof WrongUse, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  });
});

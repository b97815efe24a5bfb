import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parse } from "yaml";
import { WrongUse } from "../exit.ts";
import { convertPolicies } from "./policy-convert.ts";

function fileOf(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "policy-convert-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "policy.yaml");
  writeFileSync(path, text);
  return path;
}

const OURS = `
apiVersion: innermesh.io/v1alpha1
kind: ServiceAccountPolicy
metadata: { namespace: shop, name: payments }
spec:
  podSelector: { matchLabels: { app: payments } }
  ingress:
    - from: [{ serviceAccounts: [{ name: front }] }]
      ports: [{ port: 8080 }]
`;

test("a policy there and back is the same policy", (t) => {
  const there = convertPolicies(fileOf(t, OURS));
  assert.deepEqual(there.unsaid, []);
  assert.equal(parse(there.text).kind, "AuthorizationPolicy");
  const back = convertPolicies(fileOf(t, there.text));
  assert.deepEqual(back.unsaid, []);
  assert.equal(parse(back.text).kind, "ServiceAccountPolicy");
  assert.deepEqual(convertPolicies(fileOf(t, back.text)), there);
});

test("what the other kind cannot say is named", (t) => {
  const { unsaid } = convertPolicies(
    fileOf(t, OURS.replace("  ingress:", "  action: Deny\n  ingress:")),
  );
  assert.equal(unsaid.length > 0, true);
  assert.equal(unsaid[0]?.object, "ServiceAccountPolicy shop/payments");
});

test("other kinds and files that are none are refused by name", (t) => {
  const service = fileOf(t, "kind: Service\n");
  assert.throws(
    () => convertPolicies(service),
    new WrongUse(
      `Cannot convert "Service" of ${service}: want AuthorizationPolicy or ServiceAccountPolicy`,
    ),
  );
  assert.throws(() => convertPolicies("/nowhere.yaml"), WrongUse);
});

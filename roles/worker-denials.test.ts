import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestRecord } from "../service-proxy/model/request-record.ts";
import { workerDenial } from "./worker-denials.ts";

const RULE = "ServiceAccountPolicy shop/readers ingress[0]";
const RECORD: RequestRecord = {
  time: "",
  protocol: "http1",
  source: "shop",
  client: "10.0.0.1",
  service: "shop/pay:80",
  route: "",
  endpoint: "[fd00::9]:8080",
  flags: ["denied"],
  attempts: 0,
  durationMs: 0,
  receivedBytes: 0,
  sentBytes: 0,
  rule: RULE,
};

test("a denied request is told with its pod, and without what may be a secret", () => {
  assert.deepEqual(workerDenial({ ...RECORD, method: "GET", path: "/cards?token=1" }), {
    client: "10.0.0.1",
    endpoint: { address: "fd00::9", port: 8080 },
    service: "shop/pay:80",
    rule: RULE,
    method: "GET",
    path: "/cards",
  });
});

test("where no pod was chosen the Service is named", () => {
  const denial = workerDenial({ ...RECORD, endpoint: "" });
  assert.deepEqual(denial, { client: "10.0.0.1", service: "shop/pay:80", rule: RULE });
});

test("what another node denied, and what only had to be told, is no denial of this one", () => {
  assert.equal(workerDenial({ ...RECORD, rule: undefined }), undefined);
  assert.equal(workerDenial({ ...RECORD, flags: [] }), undefined);
});

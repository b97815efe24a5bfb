import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcTimeoutMs } from "./http-time-limit.ts";

const LIMITS: Readonly<Record<string, number>> = {
  "1H": 3_600_000,
  "2M": 120_000,
  "3S": 3_000,
  "250m": 250,
  "500u": 0.5,
  "0n": 0,
  "99999999S": 99_999_999_000,
};

test("a gRPC call's timeout has its unit behind it", () => {
  for (const [value, limitMs] of Object.entries(LIMITS)) {
    assert.equal(grpcTimeoutMs(["grpc-timeout", value]), limitMs, value);
  }
});

test("what is no timeout limits nothing", () => {
  for (const value of ["", "S", "5", "-1S", "1.5S", "123456789S", "1s"]) {
    assert.equal(grpcTimeoutMs(["grpc-timeout", value]), Number.POSITIVE_INFINITY, value);
  }
  assert.equal(grpcTimeoutMs([]), Number.POSITIVE_INFINITY);
});

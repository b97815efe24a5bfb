import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHostPort, parseHostPort } from "./host-port.ts";

const readings: readonly (readonly [string, unknown])[] = [
  ["0.0.0.0:10256", { host: "0.0.0.0", port: 10_256 }],
  ["[::]:1", { host: "::", port: 1 }],
  ["[FD00:0::1]:65535", { host: "fd00::1", port: 65_535 }],
  ["192.0.2.1", { host: "192.0.2.1" }],
  ["::1", { host: "::1" }],
  ["", undefined],
  ["localhost:80", undefined],
  ["192.0.2.1:0", undefined],
  ["192.0.2.1:65536", undefined],
  ["192.0.2.1:", undefined],
  ["[::1]", undefined],
  ["192.0.2.01:80", undefined],
];

for (const [text, expected] of readings) {
  test(`${JSON.stringify(text)} reads as ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(parseHostPort(text), expected);
  });
}

test("an IPv6 address prints in brackets", () => {
  assert.equal(formatHostPort({ host: "::1", port: 80 }), "[::1]:80");
  assert.equal(formatHostPort({ host: "192.0.2.1", port: 80 }), "192.0.2.1:80");
});

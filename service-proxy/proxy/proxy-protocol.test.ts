import assert from "node:assert/strict";
import { test } from "node:test";
import { formatProxyHeader } from "./proxy-protocol.ts";

test("both addresses and ports stand in the header, in the form of their family", () => {
  const v4 = formatProxyHeader(
    { address: "10.1.0.7", port: 4_000 },
    { address: "10.96.0.10", port: 80 },
  );
  assert.equal(v4.toString("hex"), "0d0a0d0a000d0a515549540a2111000c0a0100070a60000a0fa00050");
  const v6 = formatProxyHeader(
    { address: "fd00::7", port: 4_000 },
    { address: "fd96::a", port: 80 },
  );
  const [source, destination] = [
    "fd000000000000000000000000000007",
    "fd96000000000000000000000000000a",
  ];
  const head = "0d0a0d0a000d0a515549540a21210024";
  assert.equal(v6.toString("hex"), `${head}${source}${destination}0fa00050`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeMessage, encodeMessage } from "./frame.ts";

test("a message is read back, and refused when it is cut, doubled or compressed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const body = encodeMessage(bytes);
      const decoded = decodeMessage(body);
      assert.ok(decoded.kind === "ok" && Buffer.from(decoded.message).equals(bytes));
      for (let length = 0; length < body.length; length++) {
        assert.equal(decodeMessage(body.subarray(0, length)).kind, "invalid");
      }
      assert.equal(decodeMessage(Buffer.concat([body, body])).kind, "invalid");
      body[0] = 1;
      assert.equal(decodeMessage(body).kind, "invalid");
    }),
  );
});

test("hostile bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      assert.ok(["ok", "invalid"].includes(decodeMessage(bytes).kind));
    }),
  );
});

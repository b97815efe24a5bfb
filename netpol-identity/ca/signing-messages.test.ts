import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFields, textField } from "../../lib/grpc/field.ts";
import {
  decodeCertificateRequest,
  decodeCertificateResponse,
  decodeCsrPem,
  encodeCertificateRequest,
  encodeCertificateResponse,
  encodeCsrPem,
} from "./signing-messages.ts";

const REQUEST = { csr: "pem", identity: "spiffe://a/ns/b/sa/c", validitySeconds: 86_400 };

test("a request and a response are read as they were written", () => {
  const request = decodeCertificateRequest(encodeCertificateRequest(REQUEST));
  assert.deepEqual(request, { kind: "ok", value: REQUEST });
  const response = decodeCertificateResponse(encodeCertificateResponse(["leaf", "root"]));
  assert.deepEqual(response, { kind: "ok", value: ["leaf", "root"] });
});

test("the bytes are those of the published schema", () => {
  const bytes = Buffer.from(encodeCertificateRequest({ ...REQUEST, identity: "id" }));
  const struct = "0a1c" + "0a14" + Buffer.from("ImpersonatedIdentity").toString("hex");
  const expected = `0a03${Buffer.from("pem").toString("hex")}1880a305221e${struct}12041a026964`;
  assert.equal(bytes.toString("hex"), expected);
});

test("a request of an Istio agent, which names nobody, asks for itself", () => {
  const request = decodeCertificateRequest(encodeFields([textField(1, "pem")]));
  assert.deepEqual(request, {
    kind: "ok",
    value: { csr: "pem", identity: "", validitySeconds: 0 },
  });
});

test("a missing csr, a negative validity and an identity that is no text are refused", () => {
  const csr = textField(1, "pem");
  const validity = { kind: "varint", number: 3, value: -1n } as const;
  const identity = Buffer.from(
    `0a1e0a14${Buffer.from("ImpersonatedIdentity").toString("hex")}12060a0407070707`,
    "hex",
  );
  const metadata = { kind: "bytes", number: 4, value: identity } as const;
  for (const fields of [[], [csr, validity], [csr, metadata]]) {
    assert.equal(decodeCertificateRequest(encodeFields(fields)).kind, "invalid");
  }
});

test("hostile bytes never throw, whole or as parts of a request", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (value) => {
      const nested = encodeFields([textField(1, "pem"), { kind: "bytes", number: 4, value }]);
      for (const bytes of [value, nested]) {
        assert.ok(["ok", "invalid"].includes(decodeCertificateRequest(bytes).kind));
        assert.ok(["ok", "invalid"].includes(decodeCertificateResponse(bytes).kind));
      }
    }),
    { numRuns: 1_000 },
  );
});

test("a csr travels as PEM, in both spellings of its label", () => {
  const der = Buffer.from("some bytes ".repeat(20));
  const pem = encodeCsrPem(der);
  assert.deepEqual(decodeCsrPem(pem), der);
  assert.deepEqual(decodeCsrPem(pem.replaceAll("CERTIFICATE REQ", "NEW CERTIFICATE REQ")), der);
  assert.equal(decodeCsrPem("-----BEGIN CERTIFICATE REQUEST-----"), undefined);
});

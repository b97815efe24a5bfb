import assert from "node:assert/strict";
import { test } from "node:test";
import { connectHead, judgeConnect, startTrace } from "./connect-head.ts";

const POD = "10.2.0.1";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const workload = {
  identity: "spiffe://cluster.local/ns/shop/sa/web",
  namespace: "shop",
  pod: "web-1",
  uid: "u",
  mode: "permissive",
} as const;

const judge = (authority: string, dialled = POD) => {
  const verdict = judgeConnect({ method: "CONNECT", authority, fields: [] }, dialled);
  return verdict.kind === "allowed" ? verdict.target.port : `${verdict.status} ${verdict.why}`;
};

test("a request names its target, and says who asks", () => {
  const head = connectHead({ address: POD, port: 80 }, { address: "10.1.0.1", workload }, TRACE);
  assert.deepEqual(head, {
    method: "CONNECT",
    authority: "10.2.0.1:80",
    path: "",
    fields: [
      "baggage",
      "k8s.namespace.name=shop,k8s.pod.name=web-1",
      "forwarded",
      "for=10.1.0.1",
      "traceparent",
      TRACE,
    ],
  });
});

test("IPv6 stands in brackets, and in quotes where RFC 7239 wants them", () => {
  const to = { address: "fd00::2", port: 80 };
  const { authority, fields } = connectHead(to, { address: "fd00::1", workload }, TRACE);
  assert.equal(authority, "[fd00::2]:80");
  assert.equal(fields[3], 'for="[fd00::1]"');
  assert.equal(judge(authority, "fd00::2"), 80);
});

test("only a port of the pod that was dialled is allowed", () => {
  assert.equal(judge("10.2.0.1:80"), 80);
  assert.equal(judge("10.2.0.1:65535"), 65_535);
  assert.equal(judge("10.2.0.2:80"), "400 other-pod");
  assert.equal(judge("[fd00::2]:80"), "400 other-pod");
});

test("an authority has one spelling: names, odd forms and addresses of nobody's are refused", () => {
  const bad = [
    "",
    "10.2.0.1",
    "10.2.0.1:",
    "10.2.0.1:0",
    "10.2.0.1:080",
    "10.2.0.1:65536",
    "10.2.0.1:80 ",
    "10.02.0.1:80",
    "user@10.2.0.1:80",
    "167903233:80",
    "db.shop.svc:80",
    "[::ffff:10.2.0.1]:80",
    "[FD00::2]:80",
    "[fd00:0:0:0:0:0:0:2]:80",
    "fd00::2:80",
    "127.0.0.1:80",
    "[::1]:80",
    "169.254.169.254:80",
    "0.0.0.0:80",
  ];
  for (const authority of bad) assert.equal(judge(authority), "400 bad-authority", authority);
});

test("ports of the mesh itself and other methods are refused", () => {
  assert.equal(judge("10.2.0.1:15001"), "403 reserved-port");
  assert.equal(judge("10.2.0.1:15008"), "403 reserved-port");
  assert.equal(judge("10.2.0.1:15009"), 15_009);
  const get = { method: "GET", authority: "10.2.0.1:80", fields: [] };
  assert.deepEqual(judgeConnect(get, POD), { kind: "refused", status: 400, why: "not-connect" });
});

test("a trace goes on where it is one; a new one is well-formed, whatever chance says", () => {
  const traced = (traceparent: string): string | undefined => {
    const fields = ["traceparent", traceparent];
    const verdict = judgeConnect({ method: "CONNECT", authority: "10.2.0.1:80", fields }, POD);
    return verdict.kind === "allowed" ? verdict.traceparent : "refused";
  };
  assert.equal(traced(TRACE), TRACE);
  assert.equal(traced("00-00000000000000000000000000000000-b7ad6b7169203331-01"), undefined);
  assert.equal(traced('x"; drop'), undefined);
  for (const chance of [0, 0.5, 0.999_999_999_9]) {
    const started = startTrace(() => chance);
    assert.equal(traced(started), started);
  }
});

// GRPCRoute on Services, and gRPC through a proxy, with real calls: matches, filters, weights,
// errors as gRPC statuses, streams, deadlines, and one client connection shared out by request.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { encodeMessage, MessageReader } from "./grpc-message.ts";
import { valueOf } from "./http-backend-log.ts";
import type { SeenRequest } from "./http-backend-protocol.ts";
import type { HttpCall, HttpResult } from "./http-client-protocol.ts";
import { H2C_PORT, PARENT } from "./http-manifests.ts";
import { type NamedStage, NamedStages } from "./http-named-stages.ts";
import { answered, FRONT_POD, V1_POD, V2_POD, V3_POD } from "./http-rig.ts";
import type { Json } from "./http-route-rules.ts";
import { until } from "./served-node.ts";

const rule = (match: Json | undefined, to: string, more: Json = {}): Json => ({
  ...(match && { matches: [match] }),
  backendRefs: [{ name: to, port: H2C_PORT }],
  ...more,
});
const method = (service?: string, name?: string, type = "Exact"): Json => ({
  method: { type, ...(service && { service }), ...(name && { method: name }) },
});

/** gRPC statuses (google.rpc.Code). */
const DEADLINE_EXCEEDED = "4";
const UNIMPLEMENTED = "12";
const UNAVAILABLE = "14";

const STAGES = {
  methods: [
    rule(method("shop.Cart", "Add"), "v1"),
    rule(method("shop.Cart"), "v2"),
    rule(method(undefined, "Ping"), "v3"),
    rule(method("shop\\.(Old|Older)", "Get.*", "RegularExpression"), "v3"),
  ],
  metadata: [
    rule({ headers: [{ name: "version", value: "one" }] }, "v1"),
    rule({ headers: [{ type: "RegularExpression", name: "version", value: "t.*" }] }, "v2"),
  ],
  filters: [
    rule(method("shop.Cart"), "v1", {
      name: "named",
      filters: [
        {
          type: "RequestHeaderModifier",
          requestHeaderModifier: {
            set: [{ name: "x-set", value: "new" }],
            add: [{ name: "x-add", value: "more" }],
            remove: ["x-gone"],
          },
        },
        {
          type: "ResponseHeaderModifier",
          responseHeaderModifier: { set: [{ name: "x-routed", value: "yes" }] },
        },
      ],
    }),
    rule(method("shop.Copy"), "v1", {
      filters: [
        {
          type: "RequestMirror",
          requestMirror: { backendRef: { name: "v2", port: H2C_PORT } },
        },
      ],
    }),
  ],
  weights: [
    {
      backendRefs: [
        { name: "v1", port: H2C_PORT, weight: 70 },
        { name: "v2", port: H2C_PORT, weight: 30 },
        { name: "v3", port: H2C_PORT, weight: 0 },
      ],
    },
  ],
  failures: [
    rule(method("shop.Empty"), "empty"),
    rule(method("shop.Dead"), "dead"),
    rule(method("shop.Missing"), "nobody"),
    rule(method("shop.Zero"), "v1", {
      backendRefs: [{ name: "v1", port: H2C_PORT, weight: 0 }],
    }),
    rule(method("shop.Fine"), "v1"),
  ],
  all: [rule(undefined, "all")],
  // Port 80 of the Service has no appProtocol: that a GRPCRoute leads there says enough.
  plain: [rule(undefined, PARENT)],
} satisfies Record<string, readonly Json[]>;

type StageName = keyof typeof STAGES;

interface GrpcResult {
  readonly grpcStatus: string;
  readonly messages: readonly (SeenRequest & { readonly messages: number })[];
  readonly result: HttpResult;
}

describe("GRPCRoutes on Services, sent", () => {
  let stages: NamedStages<StageName>;
  const callOf = (name: StageName, path: string, more: Partial<HttpCall> = {}): HttpCall => ({
    ...stages.at(name, path, { protocol: "http2" }),
    method: "POST",
    body: encodeMessage({ hello: "world" }).toString("latin1"),
    ...more,
    headers: { "content-type": "application/grpc", te: "trailers", ...more.headers },
  });
  const grpc = async (...args: Parameters<typeof callOf>): Promise<GrpcResult> =>
    grpcResult(await stages.rig.call(callOf(...args)));
  before(async () => {
    stages = await NamedStages.build<StageName>(grpcStages());
  });
  after(() => stages[Symbol.asyncDispose]());

  for (const [path, expected] of [
    ["/shop.Cart/Add", V1_POD],
    ["/shop.Cart/Remove", V2_POD],
    ["/other.Thing/Ping", V3_POD],
    ["/shop.Older/GetAll", V3_POD],
    ["/shop.Older/Put", UNIMPLEMENTED],
    ["/shop.Carts/Add", UNIMPLEMENTED],
    ["/shop.cart/Add", UNIMPLEMENTED],
  ] as const) {
    const what = expected.startsWith("pod") ? `goes to ${expected}` : "matches no rule: 12";
    test(`${path} ${what}`, async () => {
      const { grpcStatus, messages } = await grpc("methods", path);
      if (expected === UNIMPLEMENTED) return assert.equal(grpcStatus, UNIMPLEMENTED);
      assert.equal(grpcStatus, "0");
      assert.equal(messages[0]?.pod, expected);
      assert.equal(messages[0]?.path, path);
    });
  }

  test("metadata is matched exactly or by expression", async () => {
    for (const [version, pod] of [
      ["one", V1_POD],
      ["two", V2_POD],
    ] as const) {
      const { messages } = await grpc("metadata", "/a.B/C", { headers: { version } });
      assert.equal(messages[0]?.pod, pod);
    }
    const none = await grpc("metadata", "/a.B/C", { headers: { version: "One" } });
    assert.equal(none.grpcStatus, UNIMPLEMENTED);
  });

  test("a named rule changes metadata of requests and answers", async () => {
    const headers = { "x-set": "old", "x-add": "some", "x-gone": "1" };
    const { messages, result } = await grpc("filters", "/shop.Cart/Add", { headers });
    const fields = messages[0]?.fields ?? [];
    const [set, add, gone] = ["x-set", "x-add", "x-gone"].map((name) => valueOf(fields, name));
    assert.deepEqual([set, add, gone], ["new", "some, more", ""]);
    assert.equal(valueOf(answered(result).fields, "x-routed"), "yes");
    assert.equal(valueOf(fields, "te"), "trailers");
  });

  test("a mirror gets a copy of a call", async () => {
    const headers = { "x-case": "grpc-mirror" };
    const { messages } = await grpc("filters", "/shop.Copy/Make", { headers });
    assert.equal(messages[0]?.pod, V1_POD);
    const pods = async () => (await stages.rig.seen("grpc-mirror")).map(({ pod }) => pod).sort();
    await until("the copy", async () => (await pods()).length === 2);
    assert.deepEqual(await pods(), [V1_POD, V2_POD]);
  });

  test("500 calls meet the weights within 5 points", async () => {
    const many = { count: 500, parallel: 8, reuse: true };
    const results = await stages.rig.callMany(callOf("weights", "/a.B/C"), many);
    const pods = results.map((result) => grpcResult(result).messages[0]?.pod);
    const v1 = pods.filter((pod) => pod === V1_POD).length;
    assert(Math.abs(v1 - 350) <= 25, `v1 got ${v1}`);
    assert.equal(pods.filter((pod) => pod === V2_POD).length, 500 - v1);
  });

  for (const service of ["Empty", "Dead", "Missing", "Zero"]) {
    test(`a backend that is ${service.toLowerCase()}: status 14 in HTTP 200`, async () => {
      const { grpcStatus, result } = await grpc("failures", `/shop.${service}/Call`);
      assert.equal(answered(result).status, 200);
      assert.equal(grpcStatus, UNAVAILABLE);
    });
  }

  test("a backend's own status and message come through", async () => {
    const headers = { "x-behave": "status=7" };
    const { grpcStatus, result } = await grpc("failures", "/shop.Fine/Call", { headers });
    assert.equal(grpcStatus, "7");
    assert.equal(valueOf(answered(result).fields, "grpc-message"), "as asked");
  });

  test("one client connection is shared out over all backends, call by call", async () => {
    const many = { count: 90, parallel: 6, reuse: true };
    const results = await stages.rig.callMany(callOf("all", "/a.B/C"), many);
    const pods = new Set(results.map((result) => grpcResult(result).messages[0]?.pod));
    assert.deepEqual(pods, new Set([V1_POD, V2_POD, V3_POD]));
  });

  test("a stream of answers arrives whole, with its status behind it", async () => {
    const { grpcStatus, messages } = await grpc("all", "/a.B/List");
    assert.equal(messages.length, 5);
    assert.equal(grpcStatus, "0");
  });

  test("a stream of requests arrives whole", async () => {
    const body = Buffer.concat([1, 2, 3, 4].map(encodeMessage)).toString("latin1");
    const { messages } = await grpc("all", "/a.B/Collect", { body });
    assert.equal(messages[0]?.messages, 4);
  });

  test("a stream both ways goes message by message", async () => {
    const said = Array.from({ length: 20 }, (_, i) => `message ${i}`);
    const call = callOf("all", "/a.B/Chat");
    const chat = await stages.rig.client("pod-1-1").call("chat", { call, messages: said });
    assert.deepEqual(chat, { heard: said, grpcStatus: "0" });
  });

  test("messages of 1 MiB pass in both directions", async () => {
    const text = "x".repeat(1 << 20);
    const call = callOf("all", "/a.B/Chat", { timeoutMs: 10_000 });
    const chat = await stages.rig.client("pod-1-1").call("chat", { call, messages: [text, text] });
    assert.equal(chat.grpcStatus, "0");
    assert.deepEqual(
      chat.heard.map((one) => String(one).length),
      [text.length, text.length],
    );
  });

  test("a deadline reaches the backend", async () => {
    const { messages } = await grpc("all", "/a.B/C", { headers: { "grpc-timeout": "5S" } });
    assert.equal(valueOf(messages[0]?.fields ?? [], "grpc-timeout"), "5S");
  });

  test("a deadline that passes is answered 4, although the backend sleeps", async () => {
    const headers = { "grpc-timeout": "300m", "x-behave": "delay=4800" };
    const { grpcStatus, result } = await grpc("all", "/a.B/C", { headers });
    assert.equal(grpcStatus, DEADLINE_EXCEEDED);
    assert(answered(result).elapsedMs < 4_000);
  });

  test("a GRPCRoute speaks HTTP/2 to a port that does not say what it speaks", async () => {
    const { messages } = await grpc("plain", "/a.B/C");
    assert.equal(messages[0]?.pod, FRONT_POD);
    assert.equal(messages[0]?.protocol, "http2");
  });

  test("over IPv6, from the host, and from outside through the NodePort", async () => {
    const { rig } = stages;
    const number = stages.numberOf("methods");
    const call = callOf("methods", "/shop.Cart/Add");
    const ways = [
      rig.call({ ...call, ...rig.target(number, "http2", "ip6") }),
      rig.call(call, "node-1"),
      rig.call({ ...call, ...rig.nodePort(number) }, "client"),
      rig.call({ ...call, ...rig.nodePort(number, "ip6") }, "client"),
    ];
    for (const result of await Promise.all(ways)) {
      assert.equal(grpcResult(result).messages[0]?.pod, V1_POD);
    }
  });
});

function grpcStages(): Readonly<Record<StageName, NamedStage>> {
  const of = (rules: readonly Json[]): NamedStage => ({ kind: "GRPCRoute", rules });
  return {
    methods: of(STAGES.methods),
    metadata: of(STAGES.metadata),
    filters: of(STAGES.filters),
    weights: of(STAGES.weights),
    failures: of(STAGES.failures),
    all: of(STAGES.all),
    plain: of(STAGES.plain),
  };
}

/** In trailers, or in the head of an answer without messages. */
function grpcResult(result: HttpResult): GrpcResult {
  const { fields, trailers, body } = answered(result);
  const messages = new MessageReader().read(Buffer.from(body, "latin1"));
  return {
    grpcStatus: valueOf(trailers, "grpc-status") || valueOf(fields, "grpc-status"),
    messages: messages.map(parseSeen),
    result,
  };
}

function parseSeen(message: unknown): SeenRequest & { readonly messages: number } {
  return JSON.parse(JSON.stringify(message));
}

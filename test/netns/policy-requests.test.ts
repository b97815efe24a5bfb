// Rules about requests with real packets: on every way to the server, what is allowed is answered by
// it, and what is denied it never sees.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import { netnsPath } from "../../playground/namespaces.ts";
import { BACKEND_PORT, type Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import { HTTP1_PORT, HTTP2_PORT, type HttpBackendCalls } from "./http-backend-protocol.ts";
import type { HttpCall, HttpClientCalls, RawStep } from "./http-client-protocol.ts";
import type { MeshTarget } from "./mesh-rig.ts";
import { accountPolicy, BATCHES, FRONTS, PLAIN, PolicyMesh, SERVER } from "./policy-mesh.ts";
import { FAMILIES, until } from "./served-node.ts";

/** Numbers of Services. */
const L4 = 11;
const L7 = 12;
const H2C = 13;
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];
const BACKEND = fileURLToPath(new URL("./http-backend-process.ts", import.meta.url));
const CLIENT = fileURLToPath(new URL("./http-client-process.ts", import.meta.url));
const CALLERS = [...FRONTS, ...BATCHES];
const PERMISSION_DENIED = "7";

const RULES = {
  ingress: [
    {
      name: "read",
      from: [{ serviceAccounts: [{ name: "front" }, { name: "batch" }] }],
      ports: [{ port: HTTP1_PORT }, { port: HTTP2_PORT }],
      http: [{ methods: ["GET"], path: { type: "Prefix", value: "/public" } }],
    },
    {
      name: "order",
      from: [{ serviceAccounts: [{ name: "front" }] }],
      ports: [{ port: HTTP1_PORT }],
      http: [{ methods: ["POST"], path: { type: "Exact", value: "/orders" } }],
    },
    {
      name: "place",
      from: [{ serviceAccounts: [{ name: "front" }] }],
      ports: [{ port: HTTP2_PORT }],
      grpc: [{ service: "shop.Orders", method: "Place" }],
    },
  ],
};
/** A server that takes these for `/public` or resolves them is deceived if a proxy does not. */
const TRICKS = [
  "/public/../secret",
  "/public/%2e%2e/secret",
  "/public/..;/secret",
  "/public%2f..%2fsecret",
  "/publicity",
  "//secret",
  "/PUBLIC",
  "/public/..%5c..%5csecret",
  "/public/%00",
  "*",
];

const UNDER_WAY = "under-way";
const HEAD = `host: a\r\nx-case: ${UNDER_WAY}\r\n`;
const SLOW = `GET /public/slow HTTP/1.1\r\n${HEAD}x-behave: delay=60000\r\n\r\n`;
const UPGRADE = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
const KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SOCKET = `GET /public/socket HTTP/1.1\r\n${HEAD}${UPGRADE}${KEY}\r\n`;

describe("rules about requests", () => {
  let rig: PolicyMesh;
  let backend: LineCaller<HttpBackendCalls>;
  let cases = 0;
  const clients = new Map<string, LineCaller<HttpClientCalls>>();
  before(async () => {
    rig = await PolicyMesh.build();
    const { served } = rig.mesh;
    backend = new LineCaller(
      served.playground.spawn(served.playground.underlay, [...NODE, BACKEND]),
    );
    const server = rig.mesh.pod(SERVER);
    await served.echo.stop(server);
    await backend.call("serve", { pod: SERVER, netns: netnsPath(server.netns) });
    await served.put("web", [
      ...service(L4, HTTP1_PORT),
      ...service(L7, HTTP1_PORT),
      ...service(H2C, HTTP2_PORT),
      route(L7),
    ]);
    await rig.hold(accountPolicy(RULES));
    for (const from of CALLERS) {
      for (const family of FAMILIES) {
        for (const [way, target] of Object.entries(ways(from, family))) {
          await until(`${from} by ${way}`, async () => {
            return (await ask(from, { ...target, path: "/public" })).answer === 200;
          });
        }
      }
    }
    // A route's answers bear the mark of the proxy that routed them.
    await until("the route", async () => {
      const target = rig.mesh.served.address("cluster", L7, "ip");
      return (await ask(FRONTS[0], { ...target, path: "/nowhere" })).answer === 404;
    });
  });
  after(async () => {
    for (const client of clients.values()) await client[Symbol.asyncDispose]();
    await backend?.[Symbol.asyncDispose]();
    await rig?.[Symbol.asyncDispose]();
  });

  function service(number: number, port: number): readonly Manifest[] {
    const items = rig.mesh.served.manifests({ number, pods: [SERVER] });
    const [from, to] = [BACKEND_PORT, port].map((one) => `port":${one}`);
    const protocol = '"protocol":"TCP"';
    const spoken = port === HTTP2_PORT ? `${protocol},"appProtocol":"kubernetes.io/h2c"` : protocol;
    const text = JSON.stringify(items)
      .replaceAll(`"targetPort":${BACKEND_PORT}`, `"targetPort":${port}`)
      .replaceAll(`"${from}`, `"${to}`)
      .replaceAll(protocol, spoken);
    return JSON.parse(text);
  }

  function ways(from: string, family: Family): Readonly<Record<string, MeshTarget>> {
    const { mesh } = rig;
    return {
      pod: { address: mesh.pod(SERVER).addresses[family], port: HTTP1_PORT },
      VIP: mesh.served.address("cluster", L4, family),
      "VIP with a route": mesh.served.address("cluster", L7, family),
      NodePort: mesh.nodePort(Number(from.split("-")[1]), L4, family),
    };
  }

  function clientOf(pod: string): LineCaller<HttpClientCalls> {
    const known = clients.get(pod);
    if (known !== undefined) return known;
    const child = rig.mesh.served.playground.spawn(rig.mesh.pod(pod).netns, [...NODE, CLIENT]);
    const client = new LineCaller<HttpClientCalls>(child);
    clients.set(pod, client);
    return client;
  }

  /** One request on a connection of its own: its status or failure, and how many the server saw. */
  async function ask(from: string, call: HttpCall) {
    const id = `case-${++cases}`;
    const headers = { ...call.headers, "x-case": id };
    const whole = { timeoutMs: 10_000, ...call, headers };
    const [result] = await clientOf(from).call("call", {
      call: whole,
      count: 1,
      parallel: 1,
      reuse: false,
    });
    const seen = await backend.call("seen", { id });
    const answer = result?.kind === "answer" ? result.status : result?.code;
    const fields = result?.kind === "answer" ? [...result.fields, ...result.trailers] : [];
    const grpc = fields.find(([name]) => name === "grpc-status")?.[1];
    return { answer, seen: seen.length, ...(grpc !== undefined && { grpc }) };
  }

  /** What is wrong on any way of anybody. */
  async function agree(
    callers: readonly string[],
    call: Omit<HttpCall, "address" | "port">,
    wanted: object,
  ): Promise<void> {
    const asked = callers.flatMap((from) =>
      FAMILIES.flatMap((family) =>
        Object.entries(ways(from, family)).map(async ([way, target]) => {
          const got = await ask(from, { ...target, ...call });
          return { what: `${from} by ${way}, ${family}`, ...got };
        }),
      ),
    );
    for (const { what, ...got } of await Promise.all(asked)) assert.deepEqual(got, wanted, what);
  }

  test("GET is allowed, POST is answered 403 and never seen by the server", async () => {
    await agree(CALLERS, { path: "/public/a?b=/../c" }, { answer: 200, seen: 1 });
    const body = "x".repeat(10_000);
    const post = { method: "POST", path: "/public/a", body };
    await agree(CALLERS, post, { answer: 403, seen: 0 });
    await agree(CALLERS, { path: "/secret" }, { answer: 403, seen: 0 });
  });

  test("the same request is allowed to one account and denied to its neighbour", async () => {
    const order = { method: "POST", path: "/orders", body: "{}" };
    await agree(FRONTS, order, { answer: 200, seen: 1 });
    await agree(BATCHES, order, { answer: 403, seen: 0 });
  });

  test("no spelling of a path leads past the rules", async () => {
    for (const path of TRICKS) {
      for (const target of Object.values(ways(FRONTS[0], "ip"))) {
        const { text } = await say(FRONTS[0], target, [
          { send: `GET ${path} HTTP/1.1\r\nhost: a\r\nx-case: ${path}\r\n\r\n`, until: "\r\n\r\n" },
        ]);
        assert.match(text, /^HTTP\/1\.1 40[0-4] /, path);
      }
      assert.deepEqual(await backend.call("seen", { id: path }), [], path);
    }
  });

  test("each request of a connection is judged, and bodies hide none", async () => {
    const hidden = "POST /secret HTTP/1.1\r\nhost: a\r\nx-case: hidden\r\n\r\n";
    const bodies = [
      `content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `transfer-encoding: xchunked\r\n\r\n${hidden}`,
      `content-length: ${hidden.length}\r\n\r\n${hidden}`,
    ];
    for (const target of Object.values(ways(FRONTS[1], "ip6"))) {
      const { text } = await say(FRONTS[1], target, [
        { send: "GET /public HTTP/1.1\r\nhost: a\r\n\r\n", until: SERVER },
        { send: "GET /secret HTTP/1.1\r\nhost: a\r\nx-case: hidden\r\n\r\n", until: " 403 " },
        { send: "GET /public/2 HTTP/1.1\r\nhost: a\r\n\r\n", until: "/public/2" },
      ]);
      assert.deepEqual(
        text.match(/HTTP\/1\.1 \d+/g),
        ["200", "403", "200"].map((s) => `HTTP/1.1 ${s}`),
      );
      for (const body of bodies) {
        const head = "GET /public HTTP/1.1\r\nhost: a\r\n";
        await say(FRONTS[1], target, [{ send: head + body, until: "\r\n\r\n" }]);
      }
    }
    assert.deepEqual(await backend.call("seen", { id: "hidden" }), []);
  });

  test("what is not HTTP is not carried", async () => {
    for (const target of Object.values(ways(FRONTS[0], "ip"))) {
      const { text } = await say(FRONTS[0], target, [{ send: "\x16\x03\x01 hello\r\n\r\n" }]);
      assert.doesNotMatch(text, / 200 /);
    }
  });

  test("gRPC over HTTP/2: one method is allowed, another is denied as gRPC says it", async () => {
    const grpc = { "content-type": "application/grpc", te: "trailers" };
    const call = { protocol: "http2", method: "POST", headers: grpc } as const;
    for (const family of FAMILIES) {
      const targets = [
        { address: rig.mesh.pod(SERVER).addresses[family], port: HTTP2_PORT },
        rig.mesh.served.address("cluster", H2C, family),
      ];
      for (const target of targets) {
        const place = { ...call, ...target, path: "/shop.Orders/Place" };
        for (const from of FRONTS) {
          assert.deepEqual(await ask(from, place), { answer: 200, seen: 1, grpc: "0" });
          const other = { ...place, path: "/shop.Orders/Cancel" };
          const denied = { answer: 200, seen: 0, grpc: PERMISSION_DENIED };
          assert.deepEqual(await ask(from, other), denied);
        }
        for (const from of BATCHES) {
          assert.equal((await ask(from, place)).grpc, PERMISSION_DENIED);
        }
        const get = { ...target, protocol: "http2", path: "/public" } as const;
        assert.deepEqual(await ask(BATCHES[0], get), { answer: 200, seen: 1 });
      }
    }
  });

  test("a WebSocket is opened where its request is allowed, and nowhere else", async () => {
    const messages = ["hello", "x".repeat(20_000), "bye"];
    for (const from of CALLERS) {
      for (const [way, { address, port }] of Object.entries(ways(from, "ip"))) {
        const open = (path: string) =>
          clientOf(from).call("websocket", {
            url: `ws://${address}:${port}${path}`,
            messages,
            timeoutMs: 10_000,
          });
        const allowed = await open("/public/socket");
        assert.deepEqual(allowed.heard, messages, `${from} by ${way}: ${allowed.end}`);
        assert.deepEqual((await open("/secret")).heard, []);
      }
    }
  });

  test("whoever proves nothing gets no connection", async () => {
    for (const family of FAMILIES) {
      for (const [way, target] of Object.entries(ways(PLAIN, family))) {
        const { opens } = await rig.received(SERVER);
        const { answer } = await ask(PLAIN, { ...target, path: "/public", timeoutMs: 500 });
        assert.equal(answer, "timeout", way);
        assert.equal((await rig.received(SERVER)).opens, opens, way);
      }
    }
  });

  test("what is under way ends with a new denial: requests and WebSockets, on every way", async () => {
    const [from] = FRONTS;
    const kinds = { WebSocket: SOCKET, request: SLOW };
    const open = FAMILIES.flatMap((family) =>
      Object.entries(ways(from, family)).flatMap(([way, target]) =>
        Object.entries(kinds).map(([kind, send]) => {
          return { what: `${kind} by ${way}, ${family}`, end: underWay(from, target, send) };
        }),
      ),
    );
    await until("that all are under way", async () => {
      return (await backend.call("seen", { id: UNDER_WAY })).length === open.length;
    });
    const deny = accountPolicy({ action: "Deny", ...callsOf("front") }, "deny");
    await rig.mesh.served.put("policies", [accountPolicy(RULES), deny]);
    for (const { what, end } of open) {
      const { isOpen, text } = await end;
      assert(!isOpen || text.includes(" 403 "), what);
      assert.doesNotMatch(text, / 200 /, what);
    }
    await rig.hold(accountPolicy(RULES));
  });

  /** Says it and hears until it is over, or denied. */
  function underWay(from: string, { address, port }: MeshTarget, send: string) {
    const steps = [{ send, until: " 403 " }];
    return clientOf(from).call("raw", { address, port, steps, timeoutMs: 20_000 });
  }

  function say(from: string, { address, port }: MeshTarget, steps: readonly RawStep[]) {
    return clientOf(from).call("raw", { address, port, steps, timeoutMs: 2_000 });
  }
});

function callsOf(account: string): object {
  const from = [{ serviceAccounts: [{ name: account }] }];
  return { ingress: [{ from, ports: [{ port: HTTP1_PORT }] }] };
}

function route(number: number): Manifest {
  const matches = ["/public", "/orders", "/secret", "/PUBLIC", "/publicity"].map((value) => {
    return { path: { type: "PathPrefix", value } };
  });
  return caseRoute(number, { rules: [{ matches, backendRefs: [caseBackend(number)] }] });
}

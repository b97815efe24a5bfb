// Our client and a foreign one (grpc-js) against our server, over TLS on loopback.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { after, before, suite, test } from "node:test";
import { connect as connectTls } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { systemClock } from "../clock/system-clock.ts";
import { encodeRootCertificate, encodeServerCertificate, signerOf } from "../x509/certificate.ts";
import { encodePem } from "../x509/pem.ts";
import { GrpcError } from "./grpc-error.ts";
import type { GrpcCode } from "./status.ts";
import { UnaryClient } from "./unary-client.ts";
import {
  MAX_CONNECTIONS_PER_PEER,
  MAX_HELD_MESSAGES,
  type ServerCertificate,
  type UnaryAnswer,
  type UnaryRequest,
  UnaryServer,
} from "./unary-server.ts";

const NAME = "ca.test";
const MAX_BYTES = 1_000;
const HOUR_MS = 3_600_000;
const NEVER = new AbortController().signal;
const { root, issue } = makeRoot();

/** A root, in PEM, and what issues server certificates below it. */
function makeRoot() {
  const nowMs = Date.now();
  const times = { notBeforeMs: nowMs - HOUR_MS, notAfterMs: nowMs + HOUR_MS };
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = { commonName: "sample root", trustDomain: "cluster.local" };
  const rootDer = encodeRootCertificate({ key, ...name, serial: randomBytes(16), ...times });
  const signer = signerOf(rootDer, key);
  assert.ok(signer !== undefined);
  const issue = (dnsName: string): ServerCertificate => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const terms = { publicKey: pair.publicKey, serial: randomBytes(16), ...times };
    const leaf = encodeServerCertificate({ ...terms, dnsNames: [dnsName] }, signer);
    const leafKey = pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    return { chain: encodePem(leaf), key: leafKey };
  };
  return { root: encodePem(rootDer), issue };
}

function answer(request: UnaryRequest): Promise<UnaryAnswer> {
  const { message, authorization, signal } = request;
  switch (Buffer.from(message).toString()) {
    case "refuse": {
      const why = 'Node "ä" is 100% banned';
      return Promise.resolve({ kind: "refused", code: "PERMISSION_DENIED", why });
    }
    case "fail":
      return Promise.reject(new Error("a secret of the server"));
    case "hang":
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("given up")), { once: true });
      });
    case "long":
      return Promise.resolve({ kind: "ok", message: Buffer.alloc(MAX_BYTES + 1) });
    default:
      return Promise.resolve({
        kind: "ok",
        message: Buffer.concat([Buffer.from(`${authorization}|`), message]),
      });
  }
}

function isGrpcError(code: GrpcCode, text = /./) {
  return (error: unknown) => {
    assert.ok(error instanceof GrpcError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

suite("unary calls", () => {
  const faults: unknown[] = [];
  let server: UnaryServer;
  let port = 0;
  let roots: readonly string[] = [root];
  let client: UnaryClient;

  before(async () => {
    server = new UnaryServer({
      methods: new Map([["/test.Echo/Say", answer]]),
      certificate: issue(NAME),
      clock: systemClock,
      maxMessageBytes: MAX_BYTES,
      maxCallMs: 20_000,
      onFault: (error) => faults.push(error),
    });
    port = await server.listen({ host: "127.0.0.1", port: 0 });
    client = makeClient();
  });
  after(async () => {
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  function makeClient(serverName = NAME): UnaryClient {
    return new UnaryClient({
      endpoint: () => (port === 0 ? undefined : { host: "127.0.0.1", port }),
      serverName,
      roots: () => roots,
      clock: systemClock,
      maxMessageBytes: MAX_BYTES,
    });
  }

  async function call(text: string, options: { path?: string; timeoutMs?: number } = {}) {
    const message = Buffer.from(text);
    const { path = "/test.Echo/Say", timeoutMs = 20_000 } = options;
    const authorization = "Bearer x";
    const bytes = await client.call({ path, message, authorization, timeoutMs, signal: NEVER });
    return Buffer.from(bytes).toString();
  }

  test("a message goes there and an answer comes back, many at a time", async () => {
    assert.equal(await call("hello"), "Bearer x|hello");
    assert.equal(await call(""), "Bearer x|");
    const texts = Array.from({ length: 150 }, (_, i) => `message ${i}`);
    const answers = await Promise.all(texts.map((text) => call(text)));
    assert.deepEqual(
      answers,
      texts.map((text) => `Bearer x|${text}`),
    );
  });

  test("a refusal arrives with its code and its words", async () => {
    await assert.rejects(call("refuse"), isGrpcError("PERMISSION_DENIED", /"ä" is 100% banned/));
  });

  test("a bug on the server is INTERNAL, its words stay there", async () => {
    const error = await call("fail").catch((caught: unknown) => caught);
    isGrpcError("INTERNAL")(error);
    assert.ok(!String(error).includes("secret"));
    assert.match(String(faults.at(-1)), /a secret of the server/);
  });

  test("an unknown method is UNIMPLEMENTED", async () => {
    await assert.rejects(call("x", { path: "/test.Echo/Shout" }), isGrpcError("UNIMPLEMENTED"));
  });

  test("a call ends at its deadline, and the next one works", async () => {
    await assert.rejects(call("hang", { timeoutMs: 50 }), isGrpcError("DEADLINE_EXCEEDED"));
    assert.equal(await call("again"), "Bearer x|again");
  });

  test("a call that is given up ends at once", async () => {
    const stop = new AbortController();
    const message = Buffer.from("hang");
    const path = "/test.Echo/Say";
    const authorization = "";
    const timeoutMs = 60_000;
    const { signal } = stop;
    const pending = client.call({ path, message, authorization, timeoutMs, signal });
    setImmediate(() => stop.abort());
    await assert.rejects(pending, isGrpcError("CANCELLED"));
  });

  test("messages beyond the limit are refused, both ways", async () => {
    assert.equal((await call("x".repeat(MAX_BYTES - 9))).length, MAX_BYTES);
    await assert.rejects(call("x".repeat(MAX_BYTES + 1)), isGrpcError("RESOURCE_EXHAUSTED"));
    await assert.rejects(call("long"), isGrpcError("RESOURCE_EXHAUSTED"));
    assert.equal(await call("still here"), "Bearer x|still here");
  });

  test("a server of another name, and one of another root, get no token", async () => {
    using other = makeClient("other.test");
    const message = Buffer.from("x");
    const path = "/test.Echo/Say";
    const wish = { path, message, authorization: "secret", timeoutMs: 20_000, signal: NEVER };
    await assert.rejects(other.call(wish), isGrpcError("UNAVAILABLE", /other\.test/));
    roots = [makeRoot().root];
    await assert.rejects(call("x"), isGrpcError("UNAVAILABLE"));
    roots = [];
    await assert.rejects(call("x"), isGrpcError("UNAVAILABLE", /no root/));
    roots = [root];
    assert.equal(await call("x"), "Bearer x|x");
  });

  test("a new certificate is shown to new connections, and open ones stay", async () => {
    const serialNow = () =>
      new Promise<string>((resolve, reject) => {
        const options = { port, host: "127.0.0.1", ca: root, servername: NAME };
        const socket = connectTls({ ...options, ALPNProtocols: ["h2"] }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on("error", reject);
      });
    const before = await serialNow();
    server.setCertificate(issue(NAME));
    assert.notEqual(await serialNow(), before);
    assert.equal(await call("same session"), "Bearer x|same session");
  });

  test("what one address has under way is bounded, and what is over counts no more", async () => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: root, servername: NAME });
    const headers = { ":method": "POST", ":path": "/test.Echo/Say" };
    for (let i = 0; i < MAX_HELD_MESSAGES; i++) {
      const stream = session.request({ ...headers, "content-type": "application/grpc" });
      stream.on("error", () => {}).write(Buffer.alloc(MAX_BYTES));
    }
    const isServed = (): Promise<boolean> =>
      call("one more").then(
        () => true,
        (error: unknown) => !isGrpcError("RESOURCE_EXHAUSTED", /try again later/)(error),
      );
    while (await isServed()) await new Promise((resolve) => setTimeout(resolve, 10));
    session.destroy();
    while (!(await isServed())) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test("TLS 1.2 is refused, and so is anything but gRPC", async () => {
    const options = { port, host: "127.0.0.1", ca: root, servername: NAME };
    await assert.rejects(
      new Promise((resolve, reject) => {
        const socket = connectTls({ ...options, maxVersion: "TLSv1.2" }, () => resolve(undefined));
        socket.on("error", reject);
      }),
      /protocol version/,
    );
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: root, servername: NAME });
    const stream = session.request({ ":path": "/test.Echo/Say" });
    const headers = await new Promise<Readonly<Record<string, unknown>>>((resolve) => {
      stream.on("response", resolve);
    });
    assert.equal(headers["grpc-status"], "13");
    session.destroy();
  });

  test("a foreign client gets answers, refusals and deadlines as it expects them", async () => {
    const credentials = grpc.credentials.createSsl(Buffer.from(root));
    const target = { "grpc.ssl_target_name_override": NAME };
    const foreign = new grpc.Client(`127.0.0.1:${port}`, credentials, target);
    const metadata = new grpc.Metadata();
    metadata.set("authorization", "Bearer y");
    const ask = (text: string, deadlineMs = 20_000) =>
      new Promise<string>((resolve, reject) => {
        foreign.makeUnaryRequest(
          "/test.Echo/Say",
          (value: string) => Buffer.from(value),
          (bytes) => bytes.toString(),
          text,
          metadata,
          { deadline: Date.now() + deadlineMs },
          (error, value) => (error === null ? resolve(value ?? "") : reject(error)),
        );
      });
    assert.equal(await ask("hello"), "Bearer y|hello");
    const { PERMISSION_DENIED, DEADLINE_EXCEEDED } = grpc.status;
    const details = 'Node "ä" is 100% banned';
    await assert.rejects(ask("refuse"), { code: PERMISSION_DENIED, details });
    await assert.rejects(ask("hang", 100), { code: DEADLINE_EXCEEDED });
    foreign.close();
  });

  test("one address gets so many connections, and its others go on", async () => {
    assert.equal(await call("before"), "Bearer x|before");
    const sockets = Array.from({ length: 2 * MAX_CONNECTIONS_PER_PEER }, () =>
      connectTcp(port, "127.0.0.1"),
    );
    const ended = sockets.map((socket) =>
      once(
        socket.resume().on("error", () => {}),
        "close",
      ),
    );
    // At least as many as are too many, beside the one of the client.
    const surplus = MAX_CONNECTIONS_PER_PEER + 1;
    for (let closed = 0; closed < surplus; ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      closed = sockets.filter(({ destroyed }) => destroyed).length;
    }
    assert.equal(await call("after"), "Bearer x|after");
    for (const socket of sockets) socket.destroy();
    await Promise.all(ended);
  });

  test("a server that is gone is UNAVAILABLE", async () => {
    using late = makeClient();
    port = 1;
    const message = Buffer.from("x");
    const wish = { path: "/a/b", message, authorization: "", timeoutMs: 20_000, signal: NEVER };
    await assert.rejects(late.call(wish), isGrpcError("UNAVAILABLE", /ECONNREFUSED/));
    port = 0;
    await assert.rejects(late.call(wish), isGrpcError("UNAVAILABLE", /address/));
  });
});

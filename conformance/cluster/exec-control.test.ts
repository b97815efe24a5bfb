// The relay through `pods/exec`, against a server that speaks the API's WebSocket protocol:
// channel 0 standard input, 1 output, 2 errors, 3 the final Status.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, Socket } from "node:net";
import { PassThrough } from "node:stream";
import { after, before, suite, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";

import { systemClock } from "../../lib/clock/system-clock.ts";
import { answer } from "../agent.ts";
import { type Agent, agentPorts } from "../agent-identity.ts";
import { StreamTransport } from "../agent-transport.ts";
import { serveControl } from "../control-channel.ts";
import { execControl } from "./exec-control.ts";

const agent: Agent = {
  name: "pod-0-a",
  place: "pod",
  node: "node-a",
  addresses: ["127.0.0.1"],
  ports: agentPorts.pod,
};

/** A container as `pods/exec` shows it. */
interface Session {
  readonly stdin: PassThrough;
  /** Sends bytes on a channel. */
  readonly send: (channel: number, bytes: Buffer) => void;
}

suite("pods/exec", () => {
  const asked: URL[] = [];
  const sockets = new Set<Socket>();
  let run: (session: Session) => void = () => {};
  let server: Server;
  let config: KubeConfig;

  before(async () => {
    server = createServer().on("upgrade", (request, socket) => {
      if (!(socket instanceof Socket)) return;
      asked.push(new URL(request.url ?? "", "http://server"));
      sockets.add(socket.on("error", () => {}));
      run(acceptSession(request.headers["sec-websocket-key"] ?? "", socket));
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    config = new KubeConfig();
    const cluster = { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true };
    config.loadFromClusterAndUser(cluster, { name: "u" });
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const transport = () =>
    new StreamTransport({ agents: [agent], open: execControl(config, "ns"), clock: systemClock });

  test("an agent behind it answers, and the relay is what runs in its Pod", async () => {
    run = ({ stdin, send }) => {
      const output = new PassThrough();
      output.on("data", (bytes: Buffer) => send(1, bytes));
      serveControl({ input: stdin, output }, (request) => answer(agent.name, request));
    };
    await using subject = transport();
    const probe = { protocol: "tcp", address: "127.0.0.1", port: 1, timeoutMs: 1_000 } as const;
    assert.deepEqual(await subject.probe(agent, probe, 2, 1), [
      { kind: "refused" },
      { kind: "refused" },
    ]);
    const [url] = asked;
    assert.equal(url?.pathname, "/api/v1/namespaces/ns/pods/pod-0-a/exec");
    assert.deepEqual(url?.searchParams.getAll("command").slice(1), [
      "conformance",
      "agent",
      "--relay",
      "--control=/run/conformance/control.sock",
    ]);
  });

  test("a relay that fails says what it said", async () => {
    run = ({ send }) => {
      send(2, Buffer.from("no such socket"));
      const status = { status: "Failure", message: "exit code 1" };
      send(3, Buffer.from(JSON.stringify(status)));
    };
    await using subject = transport();
    await assert.rejects(
      subject.setReady(agent, true),
      /Cannot ask agent "pod-0-a".*exit code 1.*no such socket/,
    );
  });

  test("a connection that breaks ends the call instead of hanging it", async () => {
    run = ({ stdin }) => {
      stdin.once("data", () => {
        for (const socket of sockets) socket.destroy();
      });
    };
    await using subject = transport();
    await assert.rejects(subject.setReady(agent, true), { code: "unreachable" });
  });
});

/** Answers the handshake (RFC 6455 §4.2.2) and turns frames into channels. */
function acceptSession(key: string, socket: Socket): Session {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  socket.write(
    [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Protocol: v5.channel.k8s.io",
      `Sec-WebSocket-Accept: ${accept.digest("base64")}`,
      "\r\n",
    ].join("\r\n"),
  );
  const stdin = new PassThrough();
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    for (let frame = readFrame(pending); frame !== undefined; frame = readFrame(pending)) {
      pending = pending.subarray(frame.lengthBytes);
      const [channel] = frame.payload;
      if (frame.opcode === 2 && channel === 0) stdin.write(frame.payload.subarray(1));
    }
  });
  return { stdin, send: (channel, bytes) => socket.write(writeFrame(channel, bytes)) };
}

/** Reads one masked frame of less than 64 KiB; undefined when it is not all there. */
function readFrame(bytes: Buffer) {
  if (bytes.length < 8) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const start = short === 126 ? 4 : 2;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  const lengthBytes = start + 4 + length;
  if (bytes.length < lengthBytes) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = bytes
    .subarray(start + 4, lengthBytes)
    .map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return { opcode: bytes.readUInt8(0) & 0x0f, payload, lengthBytes };
}

/** One binary frame of less than 64 KiB. */
function writeFrame(channel: number, bytes: Buffer): Buffer {
  const head = Buffer.from([0x82, 126, 0, 0]);
  head.writeUInt16BE(bytes.length + 1, 2);
  return Buffer.concat([head, Buffer.from([channel]), bytes]);
}

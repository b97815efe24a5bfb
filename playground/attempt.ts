// One try of a probe, from the first packet to the answer, in the network namespace of the
// process. Never rejects: every way a try can end is a result.

import { createSocket } from "node:dgram";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";

import { familyOf } from "../lib/ip/address.ts";
import { systemClock } from "../lib/clock/system-clock.ts";
import { parseEchoReply } from "./echo-protocol.ts";
import type { ProbeFailure, ProbePhase, ProbeRequest, ProbeResult } from "./probe-protocol.ts";

const defaultTimeoutMs = 1000;

/** Tries once. */
export function attempt(probe: ProbeRequest): Promise<ProbeResult> {
  switch (probe.protocol) {
    case "tcp":
      return attemptTcp(probe);
    case "udp":
      return attemptUdp(probe);
    case "http":
      return attemptHttp(probe);
  }
}

/** Starts a TCP connection; its errors are for whoever calls `nextLine`. */
export function dial(probe: ProbeRequest): Socket {
  const { address, port, sourceAddress, sourcePort } = probe;
  const socket = connect({
    host: address,
    port,
    ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
    ...(sourcePort === undefined ? {} : { localPort: sourcePort }),
  });
  socket.on("error", () => {}); // Without a listener an error between two lines ends the process.
  return socket;
}

/** Waits for the connection to stand and for one whole line. Leaves the socket open. */
export function nextLine(socket: Socket, timeoutMs = defaultTimeoutMs): Promise<ProbeResult> {
  const startMs = systemClock.monotonicMs();
  let phase: ProbePhase = socket.connecting ? "connect" : "answer";
  let text = "";
  return new Promise((resolve) => {
    const finish = (result: ProbeResult): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("error", onError).off("close", onClose);
      resolve(result);
    };
    const onData = (bytes: Buffer): void => {
      text += bytes.toString();
      const end = text.indexOf("\n");
      if (end >= 0) finish(replyFrom(text.slice(0, end), socket.localPort, startMs));
    };
    const onError = (error: NodeJS.ErrnoException): void => finish(failureOf(error, phase));
    const onClose = (): void => finish({ kind: "closed" });
    const timer = setTimeout(() => finish({ kind: "timeout", phase }), timeoutMs);
    if (phase === "connect") socket.once("connect", () => (phase = "answer"));
    socket.on("data", onData).on("error", onError).on("close", onClose);
    if (socket.destroyed) onClose();
  });
}

async function attemptTcp(probe: ProbeRequest): Promise<ProbeResult> {
  const socket = dial(probe);
  const result = await nextLine(socket, probe.timeoutMs);
  socket.destroy();
  return result;
}

/** The socket is connected: that is how ICMP errors reach it. */
function attemptUdp(probe: ProbeRequest): Promise<ProbeResult> {
  const { address, port, sourceAddress, sourcePort, timeoutMs = defaultTimeoutMs } = probe;
  const startMs = systemClock.monotonicMs();
  const socket = createSocket(familyOf(address) === "ip" ? "udp4" : "udp6");
  return new Promise((resolve) => {
    let finished = false;
    const finish = (result: ProbeResult): void => {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ kind: "timeout", phase: "answer" }), timeoutMs);
    const onError = (error: NodeJS.ErrnoException): void => finish(failureOf(error, "answer"));
    socket.on("error", onError);
    socket.on("message", (bytes) => {
      finish(replyFrom(bytes.toString(), socket.address().port, startMs));
    });
    const onConnect = (error?: NodeJS.ErrnoException): void => {
      if (error !== undefined) onError(error);
      else if (!finished) socket.send("probe");
    };
    const send = (): void => socket.connect(port, address, onConnect);
    if (sourceAddress === undefined && sourcePort === undefined) return send();
    socket.bind(sourcePort ?? 0, sourceAddress, send);
  });
}

function attemptHttp(probe: ProbeRequest): Promise<ProbeResult> {
  const startMs = systemClock.monotonicMs();
  let phase: ProbePhase = "connect";
  return new Promise((resolve) => {
    const request = httpRequest({
      host: probe.address,
      port: probe.port,
      path: probe.path ?? "/",
      headers: { connection: "close", ...probe.headers },
      agent: false,
      ...(probe.sourceAddress === undefined ? {} : { localAddress: probe.sourceAddress }),
      ...(probe.sourcePort === undefined ? {} : { localPort: probe.sourcePort }),
    });
    const finish = (result: ProbeResult): void => {
      clearTimeout(timer);
      resolve(result);
      request.destroy();
    };
    const onError = (error: NodeJS.ErrnoException): void => finish(failureOf(error, phase));
    const timer = setTimeout(
      () => finish({ kind: "timeout", phase }),
      probe.timeoutMs ?? defaultTimeoutMs,
    );
    request.on("error", onError);
    request.on("socket", (socket) => {
      socket.once("connect", () => {
        phase = "answer";
      });
    });
    request.on("response", (response) => {
      const { localPort } = response.socket;
      readBody(response).then(
        (text) =>
          finish({ ...replyFrom(text, localPort, startMs), status: response.statusCode ?? 0 }),
        onError,
      );
    });
    request.end();
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const bytes of response.setEncoding("utf8")) text += bytes;
  return text;
}

function replyFrom(
  text: string,
  localPort: number | undefined,
  startMs: number,
): ProbeResult & { readonly kind: "reply" } {
  const rttUs = Math.round((systemClock.monotonicMs() - startMs) * 1000);
  const echo = parseEchoReply(text);
  return {
    kind: "reply",
    text,
    localPort: localPort ?? 0,
    rttUs,
    ...(echo === undefined ? {} : { echo }),
  };
}

function failureOf(error: NodeJS.ErrnoException, phase: ProbePhase): ProbeFailure {
  const code = error.code ?? error.message;
  // node:http reports a FIN before the response as a reset of its own making, without an errno.
  if (code === "ECONNRESET" && error.errno === undefined) return { kind: "closed" };
  switch (code) {
    case "ECONNREFUSED":
      return { kind: "refused" };
    case "ECONNRESET":
    case "EPIPE":
      return { kind: "reset", phase };
    case "ETIMEDOUT":
      return { kind: "timeout", phase };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EACCES": // ICMPv6 administratively prohibited
    case "EHOSTDOWN":
    case "ENONET":
      return { kind: "unreachable", code };
    default:
      return { kind: "failed", code };
  }
}

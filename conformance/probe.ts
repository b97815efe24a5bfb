// One try: dials, waits for an answer, and says how it ended. In the network namespace of this
// process.

import { createSocket } from "node:dgram";
import { get } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

import { familyOf } from "../lib/ip/address.ts";
import {
  type ProbeFailure,
  type ProbePhase,
  type ProbeReply,
  type ProbeRequest,
  type ProbeResult,
  parseEchoReply,
} from "./probe-protocol.ts";

/** Reports how a try ended; only the first report counts. */
type Finish = (result: ProbeResult) => void;

/** Starts a try and returns how to give it up. `phase` may be asked at any time. */
type Start = (finish: Finish) => { readonly phase: () => ProbePhase; readonly abandon: () => void };

const starts: Readonly<Record<ProbeRequest["protocol"], (probe: ProbeRequest) => Start>> = {
  tcp: startTcp,
  udp: startUdp,
  http: startHttp,
};

/** Tries once. Never rejects: every way a try can end is a result. */
export function tryProbe(probe: ProbeRequest): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const start = starts[probe.protocol](probe);
    let ended = false;
    const finish: Finish = (result) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      resolve(result);
      attempt.abandon();
    };
    const timer = setTimeout(
      () => finish({ kind: "timeout", phase: attempt.phase() }),
      probe.timeoutMs,
    );
    const attempt = start((result) => setImmediate(finish, result));
  });
}

/** The first line that comes is the answer. */
function startTcp({ address, port, sourcePort }: ProbeRequest): Start {
  return (finish) => {
    const local = sourcePort === undefined ? {} : { localPort: sourcePort };
    const socket = connect({ host: address, port, ...local });
    const phase = phaseOf(socket);
    let line = "";
    socket.on("data", (bytes: Buffer) => {
      line += bytes.toString();
      const end = line.indexOf("\n");
      if (end >= 0) finish(replyOf(line.slice(0, end)));
    });
    socket.on("error", (error) => finish(failureOf(error, phase())));
    socket.on("close", () => finish({ kind: "closed" }));
    return { phase, abandon: () => socket.destroy() };
  };
}

/** The socket is connected: so do ICMP errors reach it. */
function startUdp({ address, port, sourcePort }: ProbeRequest): Start {
  return (finish) => {
    // Alone in its family: the same source port may be in use in the other one.
    const type = familyOf(address) === "ip" ? "udp4" : "udp6";
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    const fail = (error: Error): void => finish(failureOf(error, "answer"));
    socket.on("error", fail);
    socket.on("message", (bytes) => finish(replyOf(bytes.toString())));
    socket.on("connect", () => socket.send("probe"));
    socket.bind(sourcePort ?? 0, () => socket.connect(port, address));
    return { phase: () => "answer", abandon: () => socket.close() };
  };
}

function startHttp({ address, port, path = "/" }: ProbeRequest): Start {
  return (finish) => {
    let phase: () => ProbePhase = () => "connect";
    const fail = (error: Error): void => finish(failureOf(error, phase()));
    const options = { host: address, port, path, agent: false, headers: { connection: "close" } };
    const request = get(options, (response) => {
      const status = response.statusCode ?? 0;
      text(response).then((body) => finish({ ...replyOf(body), status }), fail);
    });
    request.on("error", fail);
    request.on("socket", (socket) => {
      phase = phaseOf(socket);
    });
    return { phase: () => phase(), abandon: () => request.destroy() };
  };
}

function phaseOf(socket: Socket): () => ProbePhase {
  let phase: ProbePhase = "connect";
  socket.once("connect", () => {
    phase = "answer";
  });
  return () => phase;
}

function replyOf(said: string): ProbeReply {
  const echo = parseEchoReply(said);
  return { kind: "reply", text: said, ...(echo !== undefined && { echo }) };
}

function failureOf(error: NodeJS.ErrnoException, phase: ProbePhase): ProbeFailure {
  const code = error.code ?? error.message;
  // node:http tells a FIN before the response as a reset of its own making, without an errno.
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
    case "EACCES": // administratively prohibited, in ICMPv6
    case "EHOSTDOWN":
    case "ENONET":
      return { kind: "unreachable", code };
    default:
      return { kind: "failed", code };
  }
}

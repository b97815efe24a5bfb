// Program: a foreign peer of tunnels, in a pod's network: dials the tunnel's port of a pod with
// Node's own TLS and HTTP/2, asks for a connection, and tells how far it came. Its one argument is
// a `StrangerCall`, its output a `StrangerResult`, both JSON.

import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Stream } from "node:http2";
import { connect, type TLSSocket } from "node:tls";

export interface StrangerCall {
  /** Of the pod. */
  readonly address: string;
  /** `:authority` of the CONNECT. */
  readonly authority: string;
  /** PEM; missing: shows no certificate. */
  readonly certificate?: string;
  readonly key?: string;
}

export interface StrangerResult {
  /** The answer to CONNECT; 0 when none came. */
  readonly status: number;
  /** Bytes that came through the tunnel from the pod. */
  readonly bytes: number;
  /** URI of the certificate that the pod's node showed; empty when it showed none. */
  readonly identity: string;
  /** What went wrong first; empty when nothing did. */
  readonly error: string;
}

const TUNNEL_PORT = 15_008;
const LIMIT_MS = 10_000;

if (import.meta.main) {
  const call: StrangerCall = JSON.parse(process.argv[2] ?? "{}");
  process.stdout.write(`${JSON.stringify(await dial(call))}\n`);
  process.exit(0);
}

async function dial({
  address,
  authority,
  certificate,
  key,
}: StrangerCall): Promise<StrangerResult> {
  const errors: string[] = [];
  let [status, bytes, identity] = [0, 0, ""];
  const fail = (error: unknown): void => {
    errors.push(error instanceof Error ? error.message : String(error));
  };
  const socket: TLSSocket = connect({
    host: address,
    port: TUNNEL_PORT,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    // Only the node's judgement is asked for here.
    rejectUnauthorized: false,
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  });
  const session = connectHttp2(`https://${authority}`, { createConnection: () => socket });
  socket.on("error", fail);
  socket.on("secureConnect", () => {
    identity = (socket.getPeerCertificate().subjectaltname ?? "").replace(/^URI:/, "");
  });
  session.on("error", fail);
  const stream: ClientHttp2Stream = session.request({
    ":method": "CONNECT",
    ":authority": authority,
  });
  stream.on("error", fail);
  stream.on("response", (headers) => {
    status = Number(headers[":status"]);
  });
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    stream.close();
  });
  stream.setTimeout(LIMIT_MS, () => {
    fail("no answer");
    stream.close();
  });
  await once(stream, "close").catch(fail);
  session.destroy();
  return { status, bytes, identity, error: errors[0] ?? "" };
}

// Tunnels as Node has them by itself: CONNECT by node:http2 over node:tls, streams piped.
// Arguments: the side, and a file that holds a TunnelPeerPlan.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer, connect as dial, type Socket } from "node:net";
import type { Target } from "./rig.ts";
import type { TunnelPeerPlan } from "./tunnel-peer-plan.ts";
import { DOORS } from "./tunnel-subject.ts";

const BACKLOG = 16_384;
/** As our own. */
const WINDOWS = { stream: 4 << 20, connection: 16 << 20 } as const;
const SETTINGS = { initialWindowSize: WINDOWS.stream, maxFrameSize: 65_536, enablePush: false };
const NO_RESUMPTION = 0x4000;

const [side, path = ""] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(path, "utf8")) as TunnelPeerPlan;
assert(side === "client" || side === "server", "its first argument is a side");
const { chainFile, keyFile } = plan.files[side];
const tls = {
  cert: readFileSync(chainFile),
  key: readFileSync(keyFile),
  ca: readFileSync(plan.rootsFile),
  ALPNProtocols: ["h2"],
  minVersion: "TLSv1.3",
  secureOptions: NO_RESUMPTION,
} as const;

if (side === "server") serve();
else for (const door of DOORS) openDoor(plan.doors[door], plan.targets[door], door === "cold");

function serve(): void {
  const settings = { ...SETTINGS, maxConcurrentStreams: 1_000 };
  const server = createSecureServer({ ...tls, requestCert: true, settings });
  server.on("session", (session) => session.setLocalWindowSize(WINDOWS.connection));
  server.on("sessionError", () => {});
  server.on("stream", (stream: ServerHttp2Stream, { ":authority": authority = "" }) => {
    const [host = "", port] = authority.split(":");
    const socket = dial({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
    socket.on("connect", () => {
      stream.respond({ ":status": 200 });
      join(socket, stream);
    });
    socket.on("error", () => stream.close());
  });
  server.listen({ host: plan.server.address, port: plan.server.port, backlog: BACKLOG });
}

function openDoor(listen: Target, target: Target, isCold: boolean): void {
  let pooled: ClientHttp2Session | undefined;
  const session = (): ClientHttp2Session => {
    if (isCold || pooled === undefined || pooled.closed || pooled.destroyed) {
      pooled = connect(`https://${plan.server.address}:${plan.server.port}`, {
        ...tls,
        checkServerIdentity: () => undefined,
        settings: SETTINGS,
      });
      pooled.on("connect", (one) => one.setLocalWindowSize(WINDOWS.connection));
      pooled.on("error", () => {});
    }
    return pooled;
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const own = session();
    const authority = `${target.address}:${target.port}`;
    const stream = own.request(
      { ":method": "CONNECT", ":authority": authority },
      { endStream: false },
    );
    if (isCold) stream.on("close", () => own.close());
    socket.on("error", () => stream.close());
    join(socket, stream);
  });
  server.listen({ host: listen.address, port: listen.port, backlog: BACKLOG });
}

function join(socket: Socket, stream: ServerHttp2Stream | ClientHttp2Stream): void {
  stream.on("error", () => socket.destroy());
  stream.on("close", () => socket.destroySoon());
  socket.pipe(stream).pipe(socket);
}

// Two nodes on loopback for tests, without a privilege: the client's has a door for what its pods
// dial and a dialler, the server's a door for tunnels. Addresses of pods are made up; what is
// dialled for one waits in a line until the listener that stands for its door accepts it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Reactor } from "../../lib/reactor/reactor.ts";
import { listenOnLoopback, loopbackDialer } from "../../lib/reactor/sample-loopback.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import type { StreamEnds } from "../../lib/reactor/tcp-stream.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import { makeSampleAuthority } from "../../lib/tls/sample-credentials.ts";
import { Splice } from "../../lib/reactor/splice.ts";
import type { TunnelPlanDelta } from "../model/tunnel-plan.ts";
import { DirectRelays } from "./direct-relay.ts";
import { TunnelDialer } from "./tunnel-dialer.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { GATHERED_BYTES } from "./tunnel-output.ts";
import type { Inspect } from "./inspection.ts";
import type { FlowVerdict, TunnelFlow, TunnelParts } from "./tunnel-parts.ts";
import { TunnelSecurity } from "./tunnel-security.ts";
import { TunnelServer } from "./tunnel-server.ts";
import { TunnelTables } from "./tunnel-tables.ts";
import { type TunnelRecord, TunnelTelemetry } from "./tunnel-telemetry.ts";

export const WEB = "spiffe://cluster.local/ns/shop/sa/web";
export const DB = "spiffe://cluster.local/ns/shop/sa/db";
/** Of the client's node, both of them. */
export const WEB_POD = "10.1.0.1";
export const OTHER_WEB_POD = "10.1.0.2";
/** The client's node itself. */
export const HOST = "192.0.2.1";
/** Of the server's node. */
export const DB_POD = "10.2.0.1";

export const NOTHING_NEW: TunnelPlanDelta = {
  bundles: [],
  credentials: [],
  workloads: [],
  peers: [],
};

const HOUR_MS = 3_600_000;

/** One node's half of everything. */
interface Side {
  readonly parts: TunnelParts;
  readonly dialled: { readonly to: string; readonly from: string | undefined }[];
  readonly records: TunnelRecord[];
}

export class SampleTunnel implements Disposable {
  readonly authority = makeSampleAuthority();
  readonly client: Side;
  readonly server: Side;
  readonly dialer: TunnelDialer;
  readonly tunnels: TunnelServer;
  readonly relays: DirectRelays;
  /** What both nodes take for the time, beyond what has passed. */
  aheadMs = 0;
  /** Where the client's node finds port 15008; the server's door unless the test says else. */
  tunnelPort = 0;
  /** Of whoever comes to a pod, and of pods that go elsewhere. */
  verdict: FlowVerdict = { kind: "allow" };
  egress: FlowVerdict = { kind: "allow" };
  verdictOf = ({ here }: TunnelFlow): FlowVerdict =>
    here === "client" ? this.egress : this.verdict;
  /** Lets everything pass, unless the test says else. */
  inspect: Inspect = ({ down, up }) => {
    const splice = new Splice(down, up, () => {});
    return { rejudge() {}, abort: () => splice.abort() };
  };
  readonly reactor = new Reactor(() => performance.now() + this.aheadMs);
  readonly #tunnelDoor: Listener;
  readonly #directDoor: Listener;
  readonly #toTunnelDoor: StreamEnds[] = [];
  readonly #toDirectDoor: StreamEnds[] = [];
  readonly #apps: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** Both nodes know everything of each other, unless the test says else. */
  constructor() {
    this.client = this.#side((port) => (port === 15_008 ? this.tunnelPort : port));
    this.server = this.#side((port) => port);
    this.dialer = new TunnelDialer(this.client.parts);
    this.tunnels = new TunnelServer(this.server.parts);
    this.relays = new DirectRelays(this.client.parts, this.dialer);
    this.#tunnelDoor = listenOnLoopback(this.reactor, (fd) =>
      this.tunnels.accept(fd, next(this.#toTunnelDoor)),
    );
    this.tunnelPort = this.#tunnelDoor.port;
    this.#directDoor = listenOnLoopback(this.reactor, (fd) =>
      this.relays.accept(fd, next(this.#toDirectDoor)),
    );
    const bundles = [["cluster.local", [this.authority.root]]] as const;
    this.tell("client", {
      ...NOTHING_NEW,
      bundles,
      credentials: [[WEB, this.credential(WEB)]],
      workloads: [
        [WEB_POD, workload(WEB, "web-1")],
        [OTHER_WEB_POD, workload(WEB, "web-2")],
      ],
      peers: [[DB_POD, { identity: DB, uid: "db-1" }]],
    });
    this.tell("server", {
      ...NOTHING_NEW,
      bundles,
      credentials: [[DB, this.credential(DB)]],
      workloads: [[DB_POD, workload(DB, "db-1")]],
    });
  }

  /** Good for an hour. */
  credential(identity: string, notAfterMs = Date.now() + HOUR_MS) {
    return { ...this.authority.issue(identity, { notAfterMs }), notAfterMs };
  }

  /** Hands a change to one node, as its worker would. */
  tell(side: "client" | "server", delta: TunnelPlanDelta): void {
    const { tables, security } = this[side].parts;
    tables.apply(delta);
    security.changed();
    if (side === "client") this.dialer.changed();
    else this.tunnels.changed();
  }

  /** A program in the server's pod. @returns its port */
  async app(onSocket: (socket: Socket) => void): Promise<number> {
    const app = createServer({ allowHalfOpen: true }, (socket) => {
      this.#own(socket);
      onSocket(socket);
    });
    this.#apps.push(app);
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    return (app.address() as AddressInfo).port;
  }

  /** A program in a pod of the client's node dials one of the server's. */
  dial(port: number, from = WEB_POD, to = DB_POD): Socket {
    this.#toDirectDoor.push({
      local: { address: to, port },
      remote: { address: from, port: 40_000 },
    });
    return this.#connect(this.#directDoor.port);
  }

  /** Somebody connects to the door for tunnels and says what they like. */
  dialTunnelDoor(to = DB_POD, from = WEB_POD): Socket {
    this.#toTunnelDoor.push({
      local: { address: to, port: 15_008 },
      remote: { address: from, port: 40_000 },
    });
    return this.#connect(this.#tunnelDoor.port);
  }

  /** Seconds pass, on both nodes. */
  sweep(times = 1): void {
    for (let i = 0; i < times; i++) {
      this.aheadMs += 1_000;
      this.dialer.sweep();
      this.relays.sweep();
      this.tunnels.sweep();
    }
  }

  [Symbol.dispose](): void {
    this.relays.close();
    this.dialer.close();
    this.tunnels.close();
    this.#tunnelDoor.close();
    this.#directDoor.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const app of this.#apps) app.close();
    this.reactor.later(() => setImmediate(() => this.reactor.stop()));
  }

  #connect(port: number): Socket {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.#own(socket);
    return socket;
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    // A reset is what some tests are about.
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #side(portOf: (port: number) => number): Side {
    const { reactor } = this;
    const wallMs = (): number => Date.now() + this.aheadMs;
    const tables = new TunnelTables();
    const dialled: { to: string; from: string | undefined }[] = [];
    const records: TunnelRecord[] = [];
    const loopback = loopbackDialer(reactor);
    const inner: Dialer = {
      dial: ({ to, from }, owner) => {
        dialled.push({ to: `${to.address}:${to.port}`, from });
        if (to.port === 15_008) {
          this.#toTunnelDoor.push({
            local: to,
            remote: { address: from ?? "127.0.0.1", port: 30_000 },
          });
        }
        return loopback.dial({ to: { address: "127.0.0.1", port: portOf(to.port) } }, owner);
      },
      isPersonal: () => false,
      refusal: () => undefined,
      revision: 0,
    };
    const parts: TunnelParts = {
      reactor,
      inner,
      isHost: (address) => address === HOST,
      tables,
      security: new TunnelSecurity(reactor, tables, wallMs),
      frames: new OutputBuffer(reactor, GATHERED_BYTES),
      telemetry: new TunnelTelemetry(),
      authorize: (flow) => this.verdictOf(flow),
      inspect: (inspection) => this.inspect(inspection),
      onFinished: (record) => records.push(record),
      wallMs,
      random: Math.random,
    };
    return { parts, dialled, records };
  }
}

function workload(identity: string, pod: string) {
  return { identity, namespace: "shop", pod, uid: pod, mode: "permissive" } as const;
}

function next(line: StreamEnds[]): StreamEnds {
  const ends = line.shift();
  assert(ends !== undefined);
  return ends;
}

/** Until a condition holds; what must hold may take long on a slow machine. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const limitMs = performance.now() + 20_000;
  while (!holds()) {
    assert(performance.now() < limitMs, `Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Closed, for whatever reason. */
export function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once("close", () => resolve()));
}

/** What a socket gets until its peer's end, which leaves ours open; rejects when it is cut off. */
export function readAll(socket: Socket): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  socket.on("end", () => resolve(Buffer.concat(chunks)));
  socket.on("error", reject);
  socket.resume();
  return promise;
}

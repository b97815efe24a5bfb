import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import { SampleBackend, SampleRelay } from "./sample-relay.ts";
import { type DialFailure, UpstreamDial } from "./upstream-dial.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function rigOf(ports: readonly number[]): SampleRelay {
  const rig = new SampleRelay({ groups: { web: ports } });
  open.push(rig);
  return rig;
}

/** Dials the group "web" of ports; those of `silent` never answer, those of `own` cannot start, `denied` ones may not. */
async function dial(options: {
  readonly ports: readonly number[];
  readonly silent?: readonly number[];
  readonly own?: readonly number[];
  readonly denied?: readonly number[];
  /** @default a fresh one */
  readonly rig?: SampleRelay;
}) {
  const { ports, silent = [], own = [], denied = [] } = options;
  const rig = options.rig ?? rigOf(ports);
  const attempts: number[] = [];
  const { dialer } = rig.parts;
  const watched: Dialer = {
    ...dialer,
    dial(to, owner) {
      attempts.push(to.to.port);
      if (own.includes(to.to.port)) return "EMFILE";
      if (denied.includes(to.to.port)) return "EACCES";
      return silent.includes(to.to.port) ? unanswered(rig, to.to) : dialer.dial(to, owner);
    },
  };
  const result = Promise.withResolvers<DialFailure | number>();
  const group = rig.parts.tables.group("web") ?? assert.fail();
  const dialling = new UpstreamDial(
    { ...rig.parts, dialer: watched },
    {
      group,
      client: { address: "10.1.0.9", port: 4_000, kind: "pod", source: "shop" },
      side: { group: "web", source: "node" },
      connectTimeoutMs: 3_000,
    },
    {
      onDialled: ({ stream, endpoint }) => {
        stream.close();
        result.resolve(endpoint.endpoint.port);
      },
      onDialFailed: result.resolve,
    },
  );
  return { rig, attempts, result: result.promise, dialling, group };
}

/** A connection that nobody tells anything about. */
function unanswered(rig: SampleRelay, to: SocketAddress): TcpStream {
  const nobody = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
  const stream = rig.parts.dialer.dial({ to }, nobody);
  assert(stream instanceof TcpStream);
  return stream;
}

async function backendPort(): Promise<number> {
  const backend = await SampleBackend.start();
  open.push(backend);
  return backend.port;
}

test("an endpoint that is silent for a third of the time gives way to another", async () => {
  const [silent, good] = [await backendPort(), await backendPort()];
  const { rig, attempts, result } = await dial({ ports: [silent, good], silent: [silent] });
  if (attempts[0] === silent) rig.pass(1_000);
  assert.equal(await result, good);
});

test("the only endpoint has all of the time", async () => {
  const silent = await backendPort();
  const { rig, attempts, result } = await dial({ ports: [silent], silent: [silent] });
  rig.pass(2_900);
  assert.deepEqual(attempts, [silent]);
  rig.pass(100);
  assert.equal(await result, "timeout");
});

test("three are tried at most, no one twice", async () => {
  const ports = [
    await backendPort(),
    await backendPort(),
    await backendPort(),
    await backendPort(),
  ];
  const { attempts, result } = await dial({ ports, own: ports });
  assert.equal(await result, "connect-failed");
  assert.equal(new Set(attempts).size, 3);
  assert.equal(attempts.length, 3);
});

test("what this machine lacks is not held against endpoints", async () => {
  const ports = [await backendPort(), await backendPort()];
  const rig = rigOf(ports);
  for (let i = 0; i < 10; i++) {
    const { result, group } = await dial({ ports, own: ports, rig });
    assert.equal(await result, "connect-failed");
    assert.deepEqual(group.endpoints.ejected(rig.parts.reactor.nowMs), []);
    assert.equal(group.endpoints.inFlight(), 0);
  }
});

test("who cancels hears nothing, and nothing stays under way", async () => {
  const { dialling, result, group } = await dial({ ports: [] });
  dialling.cancel();
  const silent = await backendPort();
  const other = await dial({ ports: [silent], silent: [silent] });
  other.dialling.cancel();
  other.rig.pass(5_000);
  const nothing = new Promise((resolve) => setTimeout(resolve, 20, "nothing"));
  assert.equal(await Promise.race([result, other.result, nothing]), "nothing");
  assert.equal(group.endpoints.inFlight() + other.group.endpoints.inFlight(), 0);
});

test("a refusal by policy is no endpoint's fault: others are tried, and nobody is ejected", async () => {
  const backend = await SampleBackend.start();
  open.push(backend);
  const { port } = backend;
  const rig = rigOf([1, 2]);
  for (let i = 0; i < 10; i++) {
    const { result, attempts } = await dial({ ports: [], rig, denied: [1, 2] });
    assert.equal(await result, "denied");
    assert.deepEqual(new Set(attempts), new Set([1, 2]));
  }
  const group = rig.parts.tables.group("web") ?? assert.fail();
  assert.deepEqual(group.endpoints.ejected(rig.parts.reactor.nowMs), []);
  const { result } = await dial({ ports: [1, port], denied: [1] });
  assert.equal(await result, port);
});

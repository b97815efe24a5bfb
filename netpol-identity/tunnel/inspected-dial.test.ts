import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { Splice } from "../../lib/reactor/splice.ts";
import type { Inspection, JudgeRequest } from "./inspection.ts";
import {
  DB,
  DB_POD,
  gone,
  OTHER_WEB_POD,
  readAll,
  SampleTunnel,
  until,
  WEB,
  WEB_POD,
} from "./sample-tunnel.ts";

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
const FACTS = { method: "GET", path: "/", host: "", header: () => undefined };
const judge: JudgeRequest = () => ({ kind: "deny", rule: "first" });

/** All connections are inspected from here on, by somebody who lets pass what comes. */
function inspecting(tunnel: SampleTunnel) {
  const seen = { inspections: [] as Inspection[], rules: [] as string[] };
  tunnel.verdict = { kind: "inspect", rule: "paths", judge };
  tunnel.inspect = (inspection) => {
    seen.inspections.push(inspection);
    const splice = new Splice(inspection.down, inspection.up, () => inspection.onOver());
    return {
      rejudge: (now) => void seen.rules.push(now(FACTS).rule),
      abort: () => splice.abort(),
    };
  };
  return seen;
}

const ROUTES = [
  { name: "from a tunnel", to: DB_POD, side: "server", endpoint: DB, carrier: "tunnel" },
  { name: "on this node", to: OTHER_WEB_POD, side: "client", endpoint: WEB, carrier: "node" },
] as const;

for (const { name, to, side, endpoint, carrier } of ROUTES) {
  test(`what comes ${name} passes the inspector, who knows both ends`, async () => {
    using tunnel = new SampleTunnel();
    const seen = inspecting(tunnel);
    const port = await tunnel.app((socket) => socket.pipe(socket));
    const socket = tunnel.dial(port, WEB_POD, to);
    const received = readAll(socket);
    socket.end("question");
    assert.equal((await received).toString(), "question");
    const [inspection] = seen.inspections;
    assert.deepEqual(inspection?.proof, { carrier, source: WEB, endpoint });
    assert.deepEqual(inspection?.target, { address: to, port });
    assert.equal(inspection?.client.address, WEB_POD);
    assert.equal(inspection?.judge(FACTS).rule, "first");
    assert.deepEqual(tunnel[side].dialled.at(-1), { to: `${to}:${port}`, from: WEB_POD });
  });

  test(`whoever inspects what comes ${name} can dial the pod again, as the client`, async () => {
    using tunnel = new SampleTunnel();
    const seen = inspecting(tunnel);
    const port = await tunnel.app((socket) => socket.pipe(socket));
    const socket = tunnel.dial(port, WEB_POD, to);
    await until(() => seen.inspections.length === 1, "the inspection");
    const before = tunnel[side].dialled.length;
    let isOpen = false;
    const again = seen.inspections[0]?.dial({ ...NOBODY, onOpen: () => (isOpen = true) });
    assert(again !== undefined && typeof again !== "string");
    await until(() => isOpen, "the second connection");
    again.close();
    const [second] = tunnel[side].dialled.slice(before);
    assert.deepEqual(second, { to: `${to}:${port}`, from: WEB_POD });
    socket.destroy();
  });

  test(`a pod that refuses what comes ${name} is not inspected, and the client knows`, async () => {
    using tunnel = new SampleTunnel();
    const seen = inspecting(tunnel);
    let code: string | undefined;
    const options = { to: { address: to, port: 1 }, from: WEB_POD, client: WEB_POD };
    const onClosed = (why: string | undefined): void => void (code = why);
    assert.notEqual(typeof tunnel.dialer.dial(options, { ...NOBODY, onClosed }), "string");
    await until(() => code !== undefined, "the dial to fail");
    assert.equal(code, "ECONNREFUSED");
    assert.deepEqual(seen.inspections, []);
  });

  test(`when policies change, what comes ${name} is judged anew or ended`, async () => {
    using tunnel = new SampleTunnel();
    const seen = inspecting(tunnel);
    const rejudge = (): void => {
      tunnel.tunnels.rejudge();
      tunnel.dialer.rejudge();
      tunnel.relays.rejudge();
    };
    const port = await tunnel.app((socket) => socket.pipe(socket));
    const socket = tunnel.dial(port, WEB_POD, to);
    socket.write("x");
    await once(socket, "data");
    const second: JudgeRequest = () => ({ kind: "allow", rule: "second" });
    tunnel.verdict = { kind: "inspect", rule: "paths", judge: second };
    rejudge();
    tunnel.verdict = { kind: "allow" };
    rejudge();
    assert.deepEqual(seen.rules, ["second", ""]);
    const closed = gone(socket);
    tunnel.verdict = { kind: "deny", rule: "all" };
    rejudge();
    await closed;
    rejudge();
    assert.equal(seen.rules.length, 2);
  });
}

test("a dial that is given up early leaves nothing behind", async () => {
  using tunnel = new SampleTunnel();
  const seen = inspecting(tunnel);
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const options = { to: { address: OTHER_WEB_POD, port }, from: WEB_POD, client: WEB_POD };
  const stream = tunnel.dialer.dial(options, NOBODY);
  assert(typeof stream !== "string");
  assert.equal(stream.isOpen, false);
  stream.close();
  await once(tunnel.dial(port, WEB_POD, OTHER_WEB_POD), "connect");
  await until(() => seen.inspections.length === 1, "the other one");
  assert.equal(seen.inspections.length, 1);
});

test("what nobody read so far cannot be judged by its requests: it is ended", async () => {
  for (const to of [DB_POD, OTHER_WEB_POD]) {
    using tunnel = new SampleTunnel();
    const port = await tunnel.app((socket) => socket.pipe(socket));
    const socket = tunnel.dial(port, WEB_POD, to);
    socket.write("x");
    await once(socket, "data");
    inspecting(tunnel);
    const closed = gone(socket);
    tunnel.tunnels.rejudge();
    tunnel.relays.rejudge();
    await closed;
  }
});

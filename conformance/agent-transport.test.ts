// One contract for every way to reach agents: the real agent over its Unix socket, the run's own
// process, and the fake cluster that cases are tested with.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";

import { systemClock } from "../lib/clock/system-clock.ts";
import { runAgent } from "./agent.ts";
import { type Agent, agentPorts } from "./agent-identity.ts";
import { type AgentTransport, StreamTransport } from "./agent-transport.ts";
import { ownControl, socketControl } from "./cluster/socket-control.ts";
import { makeFakeRun } from "./fake/fake-run.ts";
import type { ProbeRequest } from "./probe-protocol.ts";

interface Subject {
  readonly transport: AgentTransport;
  readonly client: Agent;
  /** Echoes, and refuses on every other port. */
  readonly server: Agent;
}

/** Ports of its own, so that nothing on this machine is in the way. */
const ports = { http: [18_480], tcp: [18_490], udp: [18_490], ready: 18_479 };
const self = { place: "pod", node: "node-a", addresses: ["127.0.0.1"] } as const;
const server: Agent = { ...self, name: "server", ports };

function contract(name: string, makeSubject: () => Subject): void {
  suite(`agents are reached: ${name}`, () => {
    const on = (subject: Subject, protocol: ProbeRequest["protocol"], port: number) => ({
      protocol,
      address: subject.server.addresses[0] ?? "",
      port,
      timeoutMs: 2_000,
    });

    test("a probe tells who answered and whom it saw, over TCP, UDP and HTTP", async () => {
      const subject = makeSubject();
      for (const protocol of ["tcp", "udp", "http"] as const) {
        const probe = on(subject, protocol, subject.server.ports[protocol][0] ?? 0);
        const [result] = await subject.transport.probe(subject.client, probe, 1, 1);
        assert.ok(result?.kind === "reply", JSON.stringify(result));
        assert.equal(result.echo?.pod, subject.server.name);
        assert.equal(result.echo?.client, subject.client.addresses[0]);
      }
    });

    test("there is one result per try", async () => {
      const subject = makeSubject();
      const probe = on(subject, "tcp", subject.server.ports.tcp[0] ?? 0);
      const results = await subject.transport.probe(subject.client, probe, 7, 3);
      assert.equal(results.length, 7);
    });

    test("a port that nobody has is refused, over TCP and UDP", async () => {
      const subject = makeSubject();
      for (const protocol of ["tcp", "udp"] as const) {
        const probe = on(subject, protocol, 18_499);
        const results = await subject.transport.probe(subject.client, probe, 1, 1);
        assert.deepEqual(results, [{ kind: "refused" }]);
      }
    });

    test("readiness can be taken away and given back", async () => {
      const subject = makeSubject();
      await subject.transport.setReady(subject.server, false);
      await subject.transport.setReady(subject.server, true);
    });
  });
}

suite("a real agent", () => {
  const controller = new AbortController();
  let folder = "";
  let path = "";
  let running: Promise<void>;
  let transport: StreamTransport;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "conformance-agent-"));
    path = join(folder, "control.sock");
    const { promise, resolve } = Promise.withResolvers<void>();
    running = runAgent({ ...server, controlPath: path }, controller.signal, resolve);
    await Promise.race([promise, running]);
    const open = socketControl(() => path);
    transport = new StreamTransport({ agents: [server], open, clock: systemClock });
  });
  after(async () => {
    await transport[Symbol.asyncDispose]();
    controller.abort();
    await running;
    await rm(folder, { recursive: true });
  });

  contract("over its Unix socket", () => ({ transport, client: server, server }));

  contract("from this very process", () => {
    const client: Agent = { ...self, name: "outside", ports: agentPorts.outside };
    const own = new StreamTransport({ agents: [client], open: ownControl, clock: systemClock });
    return { transport: own, client, server };
  });

  test("only its owner may use the control socket", async () => {
    const { mode } = await stat(path);
    assert.equal(mode & 0o777, 0o600);
  });

  test("the readiness port follows what was asked", async () => {
    const status = async () => (await fetch(`http://127.0.0.1:${ports.ready}/`)).status;
    assert.equal(await status(), 200);
    await transport.setReady(server, false);
    assert.equal(await status(), 503);
    await transport.setReady(server, true);
    assert.equal(await status(), 200);
  });

  test("an agent that is another than it should be is not asked", async () => {
    const other: Agent = { ...server, name: "other" };
    const open = socketControl(() => path);
    await using wrong = new StreamTransport({ agents: [other], open, clock: systemClock });
    await assert.rejects(wrong.setReady(other, true), /agent "other".*it is "server"/);
  });

  test("a stream that ended is opened again, and one that cannot be opened says so", async (t) => {
    let opened = 0;
    const flaky = createServer((socket) => {
      opened += 1;
      if (opened === 1) return socket.destroy();
      socket.on("data", () => {
        const reply = { call: "hello", version: 1, name: "server" };
        socket.write(`${JSON.stringify({ id: 1, reply })}\n`);
        socket.write(`${JSON.stringify({ id: 2, reply: { call: "set-ready" } })}\n`);
      });
    });
    const flakyPath = join(folder, "flaky.sock");
    await once(flaky.listen(flakyPath), "listening");
    const open = socketControl(() => flakyPath);
    t.after(() => flaky.close());
    const agents = [server];
    await using again = new StreamTransport({ agents, open, clock: systemClock });
    await assert.rejects(again.setReady(server, true), /Cannot ask agent "server"/);
    await again.setReady(server, true);
    const nowhere = socketControl(() => join(folder, "nowhere.sock"));
    await using none = new StreamTransport({ agents, open: nowhere, clock: systemClock });
    await assert.rejects(none.setReady(server, true), { code: "unreachable" });
  });
});

contract("in the fake cluster", () => {
  const { transport } = makeFakeRun();
  const [, , client, other] = transport.agents;
  assert.ok(client !== undefined && other !== undefined);
  return { transport, client, server: other };
});

// The tour's fourth part: pods get identities, the link between the nodes carries nothing but TLS,
// strict pods and forged addresses, and a root that is replaced under load.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type DemoRoot, makeRoot, writeAuthority } from "./demo-authority.ts";
import { type DemoService, identityObjects, podObjects, serviceObjects } from "./demo-manifests.ts";
import {
  ANSWER_WITHIN_MS,
  authorityOf,
  http,
  launch,
  podsOf,
  type Stage,
  type Step,
  writeObjects,
} from "./demo-stage.ts";
import type { NodeProcess } from "./node-process.ts";
import { openProbe } from "./probe.ts";
import type { ProbeResult } from "./probe-protocol.ts";
import type { PlaygroundPod } from "./topology.ts";
import type { WireReport } from "./wire-protocol.ts";

export const IDENTITY_STEPS: readonly Step[] = [
  readPlaintext,
  enrol,
  readTunnel,
  nameBothEnds,
  close,
  forge,
  rotate,
];

const LEDGER_VIP = "10.96.0.70";
const ECHO_PORT = 9090;
const TUNNEL_PORT = 15_008;
/** Its one pod is on the other node. */
const LEDGER: DemoService = { name: "ledger", clusterIp: LEDGER_VIP, pods: ["pod-2-1"] };
/** ServiceAccounts by pod. */
const ACCOUNTS = {
  "pod-1-1": "web",
  "pod-1-2": "guest",
  "pod-2-1": "ledger",
  "pod-2-2": "shop",
} as const;
const [WEB, LEDGERS] = [identityOf("web"), identityOf("ledger")];
const CANARY = "canary-5fca0b1e";

const LOAD = { ratePerSecond: 100, durationMs: 60_000 };
const SOON_MS = 15_000;
/** Nodes read their authority's directory every second. */
const READ_BY_ALL_MS = 1_500;
/** Of a call that nobody answers. */
const SILENCE_MS = 400;
const FORGED_CALLS = 5;

async function readPlaintext(stage: Stage): Promise<void> {
  const { tour, playground } = stage;
  await tour.step("without identities: pod-1-1 sends pod-2-1, on node-2, a secret word", async () => {
    const objects = serviceObjects([LEDGER], podsOf(playground));
    await writeObjects(stage, "ledger", objects);
    await served(stage);
    const { frames, ofPort, holdingWord } = await sayCanary(stage);
    assert(holdingWord > 0 && ofPort === 0);
    return `the link carried ${frames} packets between them; ${holdingWord} can be read to hold it`;
  });
}

async function enrol(stage: Stage): Promise<void> {
  const { tour, playground, nodes, pod } = stage;
  const title = "--identity, and the label innermesh.io/identity=permissive on the namespace";
  await tour.step(title, async () => {
    await mkdir(authorityOf(stage.directory));
    await writeAuthority(authorityOf(stage.directory), { signer: ROOTS.old, trusted: [ROOTS.old] });
    const load = pod.startLoad(http(LEDGER_VIP), LOAD);
    await writeObjects(stage, "pods", podObjects(podsOf(playground), ACCOUNTS));
    await writeObjects(stage, "identity", identityObjects(playground, { default: "permissive" }));
    const leaving = await replaceAgents(stage);
    const identities = await soon("certificates", () => certified(nodes));
    await soon("the tunnel", async () => (await handshakes(stage)) > 0);
    const report = await load.stop();
    await leaving;
    assert.equal(report.failed, 0, JSON.stringify(report.failures[0]));
    assert.deepEqual(identities, Object.values(ACCOUNTS).map(identityOf).sort());
    const meanwhile = `${report.started} connections meanwhile, 0 failed`;
    return `${identities.length} ServiceAccounts have certificates; ${meanwhile}`;
  });
}

async function readTunnel(stage: Stage): Promise<void> {
  const { tour } = stage;
  await tour.step("with identities: pod-1-1 sends pod-2-1 the secret word again", async () => {
    const { frames, ofPort, holdingWord } = await sayCanary(stage);
    assert.equal(holdingWord, 0);
    assert(frames > 0 && ofPort === frames, `${frames - ofPort} packets outside of the tunnel`);
    const all = `all ${frames} packets between them were TLS on port ${TUNNEL_PORT}`;
    return `${all}; 0 can be read to hold it; pod-2-1 saw the client as pod-1-1`;
  });
}

async function nameBothEnds({ tour, nodes }: Stage): Promise<void> {
  await tour.step("the access logs of both nodes name both ends", async () => {
    const lines: string[] = [];
    for (const node of nodes) {
      const line = await soon("a line of the access log", async () =>
        node.accessLog.findLast((text) => text.includes(`"carrier":"tunnel"`)),
      );
      const record = JSON.parse(line) as Readonly<Record<string, unknown>>;
      assert.equal(record["sourceIdentity"], WEB);
      assert.equal(record["endpointIdentity"], LEDGERS);
      const { protocol, client, endpoint, sourceIdentity, endpointIdentity, carrier } = record;
      const fields = { protocol, client, endpoint, sourceIdentity, endpointIdentity, carrier };
      lines.push(JSON.stringify(fields));
    }
    tour.show(lines.join("\n"));
    return "node-1, then node-2, as far as it is about them:";
  });
}

async function close(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  const title = "ServiceAccount ledger is labelled strict, ServiceAccount guest is labelled off";
  await tour.step(title, async () => {
    const labels = { default: "permissive", ledger: "strict", guest: "off" } as const;
    await writeObjects(stage, "identity", identityObjects(playground, labels));
    const guest = playground.pod(1, 2);
    await using probe = openProbe(playground, guest.netns);
    const direct = playground.pod(2, 1).addresses.ip;
    const ask = async (address: string, port: number): Promise<string> =>
      (await probe.tcp(address, port, { timeoutMs: SILENCE_MS })).kind;
    await soon("the refusal", async () => (await ask(direct, ECHO_PORT)) !== "reply");
    const refusals = [await ask(direct, ECHO_PORT), await ask(LEDGER_VIP, ECHO_PORT)];
    assert(!refusals.includes("reply"));
    assert.equal(answeredBy(await pod.try(http(LEDGER_VIP))), "pod-2-1");
    const [atPod, atVip] = refusals;
    return `guest in pod-1-2: ${atPod} at the pod, ${atVip} at the Service; web in pod-1-1: served`;
  });
}

async function forge(stage: Stage): Promise<void> {
  const { tour, playground, wire } = stage;
  await tour.step("pod-1-2 takes pod-1-1's address and calls pod-2-2 with it", async () => {
    const [victim, forger, target] = [[1, 1] as const, [1, 2] as const, [2, 2] as const].map(
      ([node, number]) => playground.pod(node, number),
    ) as [PlaygroundPod, PlaygroundPod, PlaygroundPod];
    const address = victim.addresses.ip;
    await using probe = openProbe(playground, forger.netns);
    const own = await probe.tcp(target.addresses.ip, ECHO_PORT);
    assert.equal(answeredBy(own), target.name);
    const change = async (what: "add" | "del"): Promise<void> => {
      const argv = ["ip", "address", what, `${address}/32`, "dev", "lo"];
      const { code, stderr } = await playground.exec(forger.netns, argv);
      assert.equal(code, 0, stderr);
    };
    await change("add");
    const before = await spoofed(stage);
    const ends = [address, target.addresses.ip] as const;
    const heard = await wire.during({ ends, word: CANARY, port: TUNNEL_PORT }, async () => {
      const call = { sourceAddress: address, timeoutMs: SILENCE_MS };
      const calls = Array.from({ length: FORGED_CALLS }, () =>
        probe.tcp(target.addresses.ip, ECHO_PORT, call),
      );
      for (const result of await Promise.all(calls)) assert.equal(result.kind, "timeout");
    });
    await change("del");
    const dropped = (await spoofed(stage)) - before;
    assert(dropped >= FORGED_CALLS);
    assert.equal(heard.frames, 0);
    return `${FORGED_CALLS} calls: ${dropped} packets dropped at its interface, 0 on the link`;
  });
}

async function rotate(stage: Stage): Promise<void> {
  const { tour, pod, nodes, directory } = stage;
  await tour.step("the root of all certificates is replaced under load", async () => {
    const authority = authorityOf(directory);
    const load = pod.startLoad(http(LEDGER_VIP), LOAD);
    const both = [ROOTS.old, ROOTS.new];
    await writeAuthority(authority, { signer: ROOTS.old, trusted: both });
    await sleep(READ_BY_ALL_MS);
    await writeAuthority(authority, { signer: ROOTS.new, trusted: both });
    // Certificates last for hours; keys of new agents are new.
    const leaving = await replaceAgents(stage);
    await soon("certificates", () => certified(nodes));
    await leaving;
    const before = await handshakes(stage);
    await writeAuthority(authority, { signer: ROOTS.new, trusted: [ROOTS.new] });
    await sleep(READ_BY_ALL_MS);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures[0]));
    assert((await handshakes(stage)) >= before);
    const steps = "new root added, signing switched, old root removed";
    return `${steps}: ${report.started} connections, 0 failed`;
  });
}

/** Says it to an echo server, which says it back, through the Service. */
async function sayCanary({ playground, wire, pod }: Stage): Promise<WireReport> {
  const [from, to] = [playground.pod(1, 1).addresses.ip, playground.pod(2, 1).addresses.ip];
  return wire.during({ ends: [from, to], word: CANARY, port: TUNNEL_PORT }, async () => {
    const open = await pod.open(LEDGER_VIP, ECHO_PORT, { timeoutMs: ANSWER_WITHIN_MS });
    assert(open.kind === "open", open.kind);
    assert.equal(open.greeting.echo?.client, from);
    const answer = await open.say(CANARY, ANSWER_WITHIN_MS);
    assert(answer.kind === "reply" && answer.text === CANARY);
    await open.close();
  });
}

// The tour's fourth part: pods get identities, the link between the nodes carries nothing but TLS,
// and the root that vouches for them is replaced under load.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { identityOf, makeRoot, readAuthority, writeAuthority } from "./demo-authority.ts";
import { serviceObjects } from "./demo-manifests.ts";
import {
  ACCOUNTS,
  authorityOf,
  CANARY,
  certified,
  ECHO_PORT,
  enrolAs,
  LEDGER,
  LEDGER_VIP,
  namePods,
  renewals,
  replaceAgents,
  soon,
  TUNNEL_PORT,
} from "./demo-mesh.ts";
import { REFUSAL_STEPS } from "./demo-refusals.ts";
import {
  ANSWER_WITHIN_MS,
  askAgent,
  http,
  podsOf,
  type Stage,
  type Step,
  writeObjects,
} from "./demo-stage.ts";
import type { WireReport } from "./wire-protocol.ts";

export const IDENTITY_STEPS: readonly Step[] = [
  readPlaintext,
  enrol,
  readTunnel,
  nameBothEnds,
  list,
  ...REFUSAL_STEPS,
  rotate,
];

const LOAD = { ratePerSecond: 100, durationMs: 60_000 };
/** Agents read their authority's directory every second. */
const READ_BY_ALL_MS = 1_500;
/** For what sessions under the old certificates still carry: those end with their root. */
const LAST_WORDS_MS = 1_000;
/** ServiceAccounts with certificates, after the step that takes one's away. */
const PROVEN = Object.keys(ACCOUNTS).length - 1;

async function readPlaintext(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  await tour.step(
    "no identities yet: pod-1-1 says a secret word to pod-2-1 on node-2",
    async () => {
      await writeObjects(stage, "ledger", serviceObjects([LEDGER], podsOf(playground)));
      await soon("the Service", async () => (await pod.try(http(LEDGER_VIP))).kind === "reply");
      const { frames, ofPort, holdingWord } = await sayCanary(stage);
      assert(holdingWord > 0 && ofPort === 0);
      return `whoever listens on the link reads it in ${holdingWord} of ${frames} packets`;
    },
  );
}

async function enrol(stage: Stage): Promise<void> {
  const { tour, pod, directory } = stage;
  const title = "agents start anew with --identity=off, then the namespace is labelled permissive";
  await tour.step(title, async () => {
    const root = makeRoot("The demo's first root");
    await mkdir(authorityOf(directory));
    await writeAuthority(authorityOf(directory), root, [root.certificate]);
    const { ended } = await replaceAgents(stage);
    await namePods(stage);
    await enrolAs(stage, "permissive");
    await certified(stage);
    await soon("the tunnel", async () => {
      await pod.try(http(LEDGER_VIP));
      return lastOfTunnel(stage);
    });
    await ended;
    return `${Object.keys(ACCOUNTS).length} ServiceAccounts have certificates`;
  });
}

async function readTunnel(stage: Stage): Promise<void> {
  const { tour } = stage;
  await tour.step("pod-1-1 says the secret word to pod-2-1 again", async () => {
    const { frames, ofPort, holdingWord } = await sayCanary(stage);
    assert.equal(holdingWord, 0);
    assert(frames > 0 && ofPort === frames, `${frames - ofPort} packets outside of the tunnel`);
    const all = `all ${frames} packets are TLS on port ${TUNNEL_PORT}, 0 hold the word`;
    return `${all}; pod-2-1 still sees pod-1-1's address`;
  });
}

async function nameBothEnds(stage: Stage): Promise<void> {
  const { tour, nodes } = stage;
  await tour.step("the access logs of both nodes name both ends", async () => {
    const shown: string[] = [];
    for (const [index, node] of nodes.entries()) {
      const line = node.accessLog.findLast(isOfTunnel) ?? assert.fail("nothing is logged");
      const { protocol, sourceIdentity, endpointIdentity, carrier } = JSON.parse(line);
      assert.equal(sourceIdentity, identityOf(ACCOUNTS["pod-1-1"]));
      assert.equal(endpointIdentity, identityOf(ACCOUNTS["pod-2-1"]));
      const fields = { protocol, sourceIdentity, endpointIdentity, carrier };
      shown.push(`node-${index + 1}  ${JSON.stringify(fields)}`);
    }
    tour.show(shown.join("\n"));
    return "out of a line of each:";
  });
}

async function list(stage: Stage): Promise<void> {
  const { tour } = stage;
  await tour.step("innermesh identity default/pod-1-1: what node-1 says of it", async () => {
    const { code, stdout, stderr } = await askAgent(stage, "identity", "default/pod-1-1");
    assert.equal(code, 0, stderr);
    assert(stdout.includes(identityOf(ACCOUNTS["pod-1-1"])));
    tour.show(stdout);
    return "as shown";
  });
}

async function rotate(stage: Stage): Promise<void> {
  const { tour, pod, directory } = stage;
  await tour.step("the root is replaced in three steps, under load", async () => {
    const authority = authorityOf(directory);
    const [old, next] = [await readAuthority(authority), makeRoot("The demo's second root")];
    const both = [old.certificate, next.certificate];
    const load = pod.startLoad(http(LEDGER_VIP), LOAD);
    await writeAuthority(authority, old, both);
    await sleep(READ_BY_ALL_MS);
    const before = await renewals(stage);
    await writeAuthority(authority, next, both);
    const isRenewed = async (): Promise<boolean> => (await renewals(stage)) >= before + PROVEN;
    await soon("new certificates", isRenewed);
    await sleep(LAST_WORDS_MS);
    await writeAuthority(authority, next, [next.certificate]);
    await sleep(READ_BY_ALL_MS);
    const last = lastOfTunnel(stage);
    await soon("the tunnel", async () => lastOfTunnel(stage) !== last);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures[0]));
    const steps = `a second root added, ${PROVEN} certificates signed by it, the first removed`;
    return `${steps}; ${report.started} connections, 0 failed`;
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

/** What node-1 logged of the last connection that a tunnel carried. */
function lastOfTunnel({ nodes: [node] }: Stage): string | undefined {
  return node?.accessLog.findLast(isOfTunnel);
}

function isOfTunnel(line: string): boolean {
  return line.includes(`"carrier":"tunnel"`) && line.includes(`"flags":[]`);
}

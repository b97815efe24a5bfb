// The tour's fifth part: two pods with the same labels, of which a policy lets one in, by its
// ServiceAccount; and the same answer from the command line, with its reason.

import assert from "node:assert/strict";
import { type DemoObject, podObjects, tunnelAgents } from "./demo-manifests.ts";
import { ACCOUNTS, answerOf, ECHO_PORT, enrolAs, LEDGER_VIP, soon } from "./demo-mesh.ts";
import {
  ANSWER_WITHIN_MS,
  askPolicies,
  http,
  podsOf,
  type Stage,
  type Step,
  writeObjects,
} from "./demo-stage.ts";
import { openProbe, type Probe } from "./probe.ts";
import type { ProbeResult } from "./probe-protocol.ts";

export const POLICY_STEPS: readonly Step[] = [admit, tellWho, tellWhy, read];

/** Of a call that nobody answers. */
const SILENCE_MS = 400;
/** What both callers wear. */
const LABELS = { app: "client" };
const [LET_IN, KEPT_OUT] = ["pod-1-1", "pod-1-2"] as const;
const SERVER = "pod-2-1";
const HTTP_PORT = 8080;

async function admit(stage: Stage): Promise<void> {
  const { tour, playground, pod, wire } = stage;
  const who = `${LET_IN} and ${KEPT_OUT} get the same labels`;
  const title = `${who}; a policy lets in who runs as ${ACCOUNTS[LET_IN]}`;
  await tour.step(title, async () => {
    await enrolAs(stage, "permissive");
    await wearLabels(stage);
    await using neighbour = openProbe(playground, playground.pod(1, 2).netns);
    const ends = [KEPT_OUT, SERVER].map((name) => addressOf(stage, name));
    const [from = "", to = ""] = ends;
    const heard = { ends: [from, to], word: "", port: ECHO_PORT } as const;
    await soon("the neighbour's answer", async () => (await hear(neighbour)) === SERVER);
    await putPolicy(stage, [rule("web", ACCOUNTS[LET_IN])]);
    await soon("the denial, and the end of what was before", async () => {
      let answer = "";
      const before = await wire.during(heard, async () => {
        answer = await hear(neighbour);
      });
      return answer === "timeout" && before.frames === 0;
    });
    const { frames } = await wire.during(heard, async () => {
      for (const address of [LEDGER_VIP, to]) {
        const options = { timeoutMs: SILENCE_MS };
        const denied = await neighbour.tcp(address, ECHO_PORT, options);
        assert.deepEqual(denied, { kind: "timeout", phase: "connect" });
        const allowed = await pod.tcp(address, ECHO_PORT, { timeoutMs: ANSWER_WITHIN_MS });
        assert.equal(answerOf(allowed), SERVER);
      }
    });
    assert.equal(frames, 0);
    const silence = `${KEPT_OUT} gets no handshake, and 0 of its packets cross the link`;
    return `${LET_IN} is served; ${silence}`;
  });
}

async function tellWho(stage: Stage): Promise<void> {
  const { tour } = stage;
  await tour.step("innermesh can says the same of both, and by which rule", async () => {
    const server = `default/${SERVER}:${ECHO_PORT}`;
    const [allowed, denied] = await Promise.all([
      askPolicies(stage, "can", `default/${LET_IN}`, server),
      askPolicies(stage, "can", `default/${KEPT_OUT}`, server),
    ]);
    assert.equal(allowed.code, 0, allowed.stderr);
    assert.equal(denied.code, 1, denied.stderr);
    assert.match(allowed.stdout, /allowed: ServiceAccountPolicy default\/ledger/);
    assert.match(denied.stdout, /denied: no rule of ServiceAccountPolicy default\/ledger matches/);
    tour.show(`${allowed.stdout.trimEnd()}\n\n${denied.stdout}`);
    return "as shown";
  });
}

async function tellWhy(stage: Stage): Promise<void> {
  const { tour } = stage;
  await tour.step(`innermesh why: what becomes of ${KEPT_OUT}'s call to the Service`, async () => {
    const words = [`default/${KEPT_OUT}`, `${LEDGER_VIP}:${ECHO_PORT}`];
    const { code, stdout, stderr } = await askPolicies(stage, "why", ...words);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /no rule of ServiceAccountPolicy default\/ledger matches/);
    tour.show(stdout);
    return "as shown";
  });
}

async function read(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  const title = `the policy lets ${KEPT_OUT} GET what is below /public, and nothing else`;
  await tour.step(title, async () => {
    const http = [{ methods: ["GET"], path: { type: "Prefix", value: "/public" } }];
    const reader = { ...rule("read", ACCOUNTS[KEPT_OUT]), ports: [{ port: HTTP_PORT }], http };
    await putPolicy(stage, [rule("web", ACCOUNTS[LET_IN]), reader]);
    await using neighbour = openProbe(playground, playground.pod(1, 2).netns);
    await soon("the request", async () => (await get(neighbour, "/public")) === 200);
    assert.equal(await get(neighbour, "/private"), 403);
    assert.equal(await get(pod, "/private"), 200);
    const told = await askPolicies(
      stage,
      "can",
      `default/${KEPT_OUT}`,
      `default/${SERVER}:${HTTP_PORT}`,
      "GET",
      "/private",
    );
    assert.equal(told.code, 1, told.stderr);
    return `GET /public 200, GET /private 403, ${LET_IN} gets both; can says so, too`;
  });
}

async function wearLabels(stage: Stage): Promise<void> {
  const { playground } = stage;
  const labels = { [LET_IN]: LABELS, [KEPT_OUT]: LABELS, [SERVER]: { app: "ledger" } };
  await writeObjects(stage, "pods", [
    ...podObjects(podsOf(playground), ACCOUNTS, labels),
    ...tunnelAgents(playground),
  ]);
}

function rule(name: string, account: string): DemoObject {
  return { name, from: [{ serviceAccounts: [{ name: account }] }] };
}

async function putPolicy(stage: Stage, ingress: readonly DemoObject[]): Promise<void> {
  await writeObjects(stage, "policies", [
    {
      apiVersion: "innermesh.io/v1alpha1",
      kind: "ServiceAccountPolicy",
      metadata: { namespace: "default", name: "ledger" },
      spec: { podSelector: { matchLabels: { app: "ledger" } }, ingress },
    },
  ]);
}

async function hear(probe: Probe): Promise<string> {
  return answerOf(await probe.tcp(LEDGER_VIP, ECHO_PORT, { timeoutMs: SILENCE_MS }));
}

async function get(probe: Probe, path: string): Promise<number | undefined> {
  const result: ProbeResult = await probe.try({ ...http(LEDGER_VIP), path });
  return result.kind === "reply" ? result.status : undefined;
}

function addressOf({ playground }: Stage, name: string): string {
  const pod = podsOf(playground).find((one) => one.name === name);
  return pod?.addresses.ip ?? assert.fail(`no ${name}`);
}

// The tour's look at what identities keep out: who has none, and who sends as another.

import assert from "node:assert/strict";
import {
  answerOf,
  CANARY,
  ECHO_PORT,
  enrolAs,
  LEDGER_VIP,
  soon,
  TUNNEL_PORT,
} from "./demo-mesh.ts";
import { http, onNode, type Stage, type Step } from "./demo-stage.ts";
import { openProbe } from "./probe.ts";

export const REFUSAL_STEPS: readonly Step[] = [close, forge];

/** Of a call that nobody answers. */
const SILENCE_MS = 400;
const FORGED_CALLS = 5;

async function close(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  const title = "ServiceAccount ledger is labelled strict, ServiceAccount guest of pod-1-2 off";
  await tour.step(title, async () => {
    await enrolAs(stage, "permissive", { ledger: "strict", guest: "off" });
    await using guest = openProbe(playground, playground.pod(1, 2).netns);
    const direct = playground.pod(2, 1).addresses.ip;
    const ask = async (address: string): Promise<string> =>
      answerOf(await guest.tcp(address, ECHO_PORT, { timeoutMs: SILENCE_MS }));
    await soon("the refusal", async () => (await ask(direct)) !== "pod-2-1");
    const refusals = { Service: await ask(LEDGER_VIP), pod: await ask(direct) };
    for (const refusal of Object.values(refusals))
      assert.match(refusal, /^(timeout|reset|refused)$/);
    assert.equal(answerOf(await pod.try(http(LEDGER_VIP))), "pod-2-1");
    const seen = Object.entries(refusals).map(([what, how]) => `${how} at the ${what}`);
    return `guest gets ${seen.join(", ")}; web in pod-1-1 is served`;
  });
}

async function forge(stage: Stage): Promise<void> {
  const { tour, playground, wire } = stage;
  await tour.step("pod-1-2 gives itself pod-1-1's address and calls pod-2-2 with it", async () => {
    const forger = playground.pod(1, 2);
    const [sourceAddress, target] = [playground.pod(1, 1), playground.pod(2, 2)].map(
      ({ addresses }) => addresses.ip,
    ) as [string, string];
    await using probe = openProbe(playground, forger.netns);
    assert.equal(answerOf(await probe.tcp(target, ECHO_PORT)), "pod-2-2");
    const argv = ["ip", "address", "add", `${sourceAddress}/32`, "dev", "lo"];
    const given = await playground.exec(forger.netns, argv);
    assert.equal(given.code, 0, given.stderr);
    const before = await spoofed(stage);
    const question = { ends: [sourceAddress, target], word: CANARY, port: TUNNEL_PORT } as const;
    const { frames } = await wire.during(question, async () => {
      const call = { protocol: "tcp", address: target, port: ECHO_PORT, sourceAddress } as const;
      const tries = { ...call, timeoutMs: SILENCE_MS };
      for (const result of await probe.tryMany(tries, FORGED_CALLS, FORGED_CALLS)) {
        assert.equal(result.kind, "timeout");
      }
    });
    const dropped = (await spoofed(stage)) - before;
    assert(dropped >= FORGED_CALLS, `${dropped} packets were dropped`);
    assert.equal(frames, 0);
    const forged = `${FORGED_CALLS} forged calls: ${dropped} packets dropped at its interface`;
    return `with its own address: served; ${forged}, 0 sent on`;
  });
}

/** Packets that node-1 dropped where they left a pod's interface, by the kernel's own count. */
async function spoofed({ playground }: Stage): Promise<number> {
  const argv = ["nft", "list", "counter", "netdev", "innermesh-policy", "spoofed"];
  const { stdout, stderr } = await onNode(playground, argv);
  const [, packets] = /packets (\d+)/.exec(stdout) ?? [];
  return Number(packets ?? assert.fail(stderr));
}

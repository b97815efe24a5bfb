// What the identity steps of the tour share: whose pods are whose, how labels ask, and how agents
// are asked what holds.

import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identityOf } from "./demo-authority.ts";
import {
  type DemoObject,
  type DemoService,
  labelled,
  podObjects,
  tunnelAgents,
} from "./demo-manifests.ts";
import { launch, podsOf, type Stage, writeObjects } from "./demo-stage.ts";
import type { ProbeResult } from "./probe-protocol.ts";

/** ServiceAccounts by pod. */
export const ACCOUNTS = {
  "pod-1-1": "web",
  "pod-1-2": "guest",
  "pod-2-1": "ledger",
  "pod-2-2": "shop",
} as const;
export const LEDGER_VIP = "10.96.0.70";
/** Its one pod is not on the node of the pod that calls. */
export const LEDGER: DemoService = { name: "ledger", clusterIp: LEDGER_VIP, pods: ["pod-2-1"] };
export const ECHO_PORT = 9090;
export const TUNNEL_PORT = 15_008;
/** A word that nobody but pods may read. */
export const CANARY = "canary-5fca0b1e";

const SOON_MS = 15_000;
const POLL_MS = 20;

type Mode = "off" | "permissive" | "strict";
type Account = (typeof ACCOUNTS)[keyof typeof ACCOUNTS];

/** Labels the namespace and ServiceAccounts of pods. */
export async function enrolAs(
  stage: Stage,
  namespace: Mode,
  accounts: Partial<Record<Account, Mode>> = {},
): Promise<void> {
  const objects: DemoObject[] = [
    labelled("Namespace", "default", namespace),
    ...Object.entries(accounts).map(([name, mode]) => labelled("ServiceAccount", name, mode)),
  ];
  await writeObjects(stage, "identity", objects);
}

/** Says which ServiceAccounts the pods have, and that both nodes take tunnels. */
export async function namePods(stage: Stage): Promise<void> {
  const { playground } = stage;
  await writeObjects(stage, "pods", [
    ...podObjects(podsOf(playground), ACCOUNTS),
    ...tunnelAgents(playground),
  ]);
}

/**
 * Starts agents with identities and policies on both nodes, which take over from those that run.
 * @returns how those come to their end
 */
export async function replaceAgents(stage: Stage): Promise<{ readonly ended: Promise<unknown> }> {
  const { playground, nodes, directory } = stage;
  const authority = `--certificate-authority=dir:${authorityOf(directory)}`;
  const ends: Promise<void>[] = [];
  await Promise.all(
    nodes.map(async (old, index) => {
      const policies = "--network-policy=enforce";
      const flags = ["--identity=off", authority, policies, "--access-log-share=1"];
      const next = launch(stage, playground.node(index + 1), flags);
      nodes[index] = next;
      await old.logged("a newer agent takes this node over");
      ends.push(old.stop());
      await next.logged("Services are served");
    }),
  );
  return { ended: Promise.all(ends) };
}

export function authorityOf(directory: string): string {
  return join(directory, "authority");
}

/** Waits until every ServiceAccount of pods has a certificate, each on its pods' node. */
export async function certified(stage: Stage): Promise<void> {
  const wanted = new Set(Object.values(ACCOUNTS).map(identityOf));
  const series = /^innermesh_certificate_expiry_timestamp_seconds\{identity="(.+)"\} (\d+)/gm;
  await soon("certificates", async () => {
    const expiries = (await metrics(stage)).matchAll(series);
    const valid = expiries.filter(([, , expiry]) => Number(expiry) > Date.now() / 1_000);
    return wanted.isSubsetOf(new Set(valid.map(([, identity = ""]) => identity)));
  });
}

/** How many certificates followed another, on both nodes. */
export async function renewals(stage: Stage): Promise<number> {
  const series = /^innermesh_certificate_requests_total\{result="renewed"\} (\d+)/gm;
  const counts = (await metrics(stage)).matchAll(series);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function metrics({ nodes }: Stage): Promise<string> {
  const pages = await Promise.all(nodes.map((node) => node.get(10_249, "/metrics")));
  return pages.map(({ body }) => body).join("\n");
}

/** Asks until there is an answer. @throws AssertionError when there is none */
export async function soon<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    assert(performance.now() - startMs < SOON_MS, `${what}: not within ${SOON_MS} ms`);
    await sleep(POLL_MS);
  }
}

/** The pod that answered, or how it failed. */
export function answerOf(result: ProbeResult): string {
  return result.kind === "reply" ? (result.echo?.pod ?? "somebody") : result.kind;
}

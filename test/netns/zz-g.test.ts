// What operators are told of policies by a running agent: denials as the kernel drops them, edges as
// it lets them pass, and what a change would do to those.

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PolicyDiff } from "../../cli/policy/policy-diff.ts";
import type { WhyReport } from "../../cli/why/why-report.ts";
import type { DenialReport } from "../../netpol-identity/model/denial-report.ts";
import {
  type Manifest,
  namespaceObject,
  type PolicyObjects,
  podObject,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import type { EdgeReport } from "../../netpol-identity/model/edge-report.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import type { PolicyProbe } from "./policy-probe.ts";
import { PolicyRig } from "./policy-rig.ts";
import { until } from "./served-node.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
/** Started last: the socket is its own. */
const NODE = 2;
const [FRIEND, STRANGER, SERVER] = ["pod-1-1", "pod-1-2", "pod-2-1"];
/** Edges are looked for every half minute. */
const LOOK_LIMIT_MS = 120_000;

describe("answers about policies", () => {
  const socket = `/run/im-ghx-${process.pid}.sock`;
  const change = `/run/im-ghx-${process.pid}.json`;
  let rig: PolicyRig;
  before(async () => {
    rig = await PolicyRig.build({ podsPerNode: 2, flags: [`--admin-socket=${socket}`], hasIdentities: true });
    await rig.hold(worldOf(rig.pods, [FRIEND]));
    await rig.ready();
    await writeFile(change, JSON.stringify(serverPolicy([])));
  });
  after(async () => {
    await rig[Symbol.asyncDispose]();
    for (const path of [socket, change]) await rm(path, { force: true });
  });

  const ask = (...words: readonly string[]) => {
    const { netns } = rig.playground.node(NODE);
    return rig.playground.exec(netns, [LAUNCHER, ...words, `--socket=${socket}`, "-o=json"]);
  };
  const read = async (...words: readonly string[]): Promise<unknown> => {
    const { stdout, stderr } = await ask(...words);
    assert.notEqual(stdout, "", stderr);
    return JSON.parse(stdout);
  };
  const flags = (): readonly string[] => [rig.source, `--hostname-override=node-${NODE}`];
  const addressOf = (name: string): string =>
    rig.pods.find((pod) => pod.name === name)?.addresses.ip ?? assert.fail(`no ${name}`);
  const call = (client: string, isAllowed: boolean): Promise<void> => {
    const probe: PolicyProbe = {
      client,
      server: SERVER,
      entry: "pod",
      family: "ip",
      protocol: "TCP",
      port: 80,
      isAllowed,
      mayOpen: true,
    };
    return rig.prober.agree("a call", [probe]);
  };

  test("a denial is told with its pods and its rule", async () => {
    await call(STRANGER, false);
    let found: DenialReport["denials"][number] | undefined;
    await until("the denial", async () => {
      const { denials } = (await read("policy", "denials")) as DenialReport;
      found = denials.find(({ sourcePod }) => sourcePod === `default/${STRANGER}`);
      return found !== undefined;
    });
    assert.equal(found?.destinationPod, `default/${SERVER}`);
    assert.deepEqual([found?.port, found?.protocol, found?.direction], [80, "TCP", "ingress"]);
    assert.match(found?.rule ?? "", /NetworkPolicy default\/server/);
    const why = (await read(
      "why",
      `default/${STRANGER}`,
      `${addressOf(SERVER)}:80`,
      ...flags(),
    )) as WhyReport;
    assert.equal(why.policies?.verdict, "deny");
    assert.equal(why.isHere, true);
    assert.ok((why.denials?.length ?? 0) > 0);
  });

  test("an edge is remembered, and a change that would deny it is told", async () => {
    await call(FRIEND, true);
    await until(
      "the edge",
      async () => {
        const { pods, edges } = (await read("policy", "edges")) as EdgeReport;
        return edges.some(({ client, port }) => {
          return pods[client.pod ?? -1]?.name === FRIEND && port === 80;
        });
      },
      LOOK_LIMIT_MS,
    );
    console.log(JSON.stringify(await read("policy", "edges"), undefined, 1).slice(0, 6000));
    console.log((await rig.playground.exec(rig.playground.node(NODE).netns, ["conntrack","-L","-p","tcp"])).stdout);
    const { code, stdout, stderr } = await ask("policy", "diff", "-f", change, ...flags());
    assert.equal(code, 1, stderr);
    const { denied } = JSON.parse(stdout) as PolicyDiff;
    const names = denied.map(({ client, server }) => [client.pod?.name, server.pod?.name]);
    assert.ok(names.some(([from, to]) => from === FRIEND && to === SERVER));
  });
});

function worldOf(pods: readonly PlaygroundPod[], callers: readonly string[]): PolicyObjects {
  return {
    namespaces: [namespaceObject("default", {})],
    pods: pods.map(({ name, node, addresses }) =>
      podObject({
        namespace: "default",
        name,
        node,
        labels: { pod: name },
        addresses: Object.values(addresses),
        ports: [],
      }),
    ),
    policies: [serverPolicy(callers)],
  };
}

function serverPolicy(callers: readonly string[]): Manifest {
  const from = callers.map((pod) => ({ podSelector: { matchLabels: { pod } } }));
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "server" },
    spec: {
      podSelector: { matchLabels: { pod: SERVER } },
      ingress: from.length > 0 ? [{ from }] : [],
    },
  };
}

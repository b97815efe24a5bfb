// Nodes that lead the same flows from one pod to the next, under as many policies as their kernel
// is told to hold, and what a new flow costs on each.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { PolicySet, SetRule } from "../netpol-identity/evaluate/policy-set.ts";
import {
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../netpol-identity/evaluate/sample-set.ts";
import { createPlayground, type Playground, sweepPlaygrounds } from "../playground/cluster.ts";
import { startEchoServers } from "../playground/echo.ts";
import { LineCaller } from "../playground/line-calls.ts";
import type { PlaygroundNode } from "../playground/topology.ts";
import type { PolicyKernelCalls } from "../test/netns/policy-kernel-agent.ts";
import { type FlowMeter, type FlowRig, openFlowMeter } from "./flow-stage.ts";
import { UDP_PORT } from "./flow-stage.ts";
import { TARGET_PORT } from "../test/cluster/load-slices.ts";
import { inTurns } from "./turns.ts";

/** What holds for both pods of a node. */
export interface FlowPolicies {
  readonly subject: string;
  /** Missing: our tables are not there at all. */
  readonly ingress?: PolicySet | "none";
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** Of a datagram, in processor time of whoever sends it. */
export interface PolicyFlowCost {
  readonly newNs: number;
  readonly answeredNs: number;
}

const AGENT = fileURLToPath(new URL("../test/netns/policy-kernel-agent.ts", import.meta.url));
const CLIENT_BLOCK = "10.0.0.0/8";
const TRACKING = `table ip track {
  chain forward {
    type filter hook forward priority filter
    ct state established,related accept
  }
}
`;
const MEMBERS = 5_000;
const BLOCKS = 50;

/** From the least to the most that a new flow is asked. */
export const FLOW_POLICIES: readonly FlowPolicies[] = [
  { subject: "no tables", groups: {} },
  { subject: "nobody isolated", ingress: "none", groups: {} },
  {
    subject: "isolated, 3 rules",
    ingress: sampleSet({
      network: sampleList(
        acceptFrom("one", { groups: ["p-strangers"] }),
        acceptFrom("two", { cidrs: ["192.0.2.0/24"] }),
        acceptFrom("three", { cidrs: [CLIENT_BLOCK] }),
      ),
    }),
    groups: { "p-strangers": ["192.0.2.1"] },
  },
  {
    subject: `isolated, ${MEMBERS} addresses and ${BLOCKS} blocks`,
    ingress: sampleSet({
      network: sampleList(
        acceptFrom("many", { groups: ["p-many"] }),
        acceptFrom("blocks", {
          cidrs: [
            ...Array.from({ length: BLOCKS - 1 }, (_, i) => `198.18.${2 * i}.0/24`),
            CLIENT_BLOCK,
          ],
        }),
      ),
    }),
    groups: {
      "p-many": Array.from(
        { length: MEMBERS },
        (_, i) => `198.51.${Math.floor(i / 250)}.${i % 250}`,
      ),
    },
  },
];

/** Four nodes with a client and a server each. */
export async function measurePolicyFlows(
  rounds: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly PolicyFlowCost[]>> {
  await sweepPlaygrounds();
  await using stack = new AsyncDisposableStack();
  const shape = { nodes: FLOW_POLICIES.length, podsPerNode: 2, cni: "routed" } as const;
  const playground = stack.use(await createPlayground(shape));
  const servers = playground.nodes.map(({ number }) => playground.pod(number, 2));
  stack.use(await startEchoServers(playground, servers, { http: [], tcp: [TARGET_PORT], udp: [] }));
  const rig: FlowRig = {
    playground,
    clientPod: ({ number }) => playground.pod(number, 1),
    forgetFlows: async (netns) => {
      await playground.exec(netns, ["conntrack", "-F"]);
    },
  };
  const meters: FlowMeter[] = [];
  for (const [i, policies] of FLOW_POLICIES.entries()) {
    const node = playground.node(1 + i);
    await hold(playground, node, policies, stack);
    const { ip: address } = playground.pod(node.number, 2).addresses;
    const targets = { tcp: { address, port: TARGET_PORT }, udp: { address, port: UDP_PORT } };
    meters.push(await openFlowMeter(rig, { subject: policies.subject, node, ...targets }));
  }
  for (const meter of meters) await meter.check();
  const measure = async (meter: FlowMeter): Promise<PolicyFlowCost> => ({
    newNs: await meter.newNs(),
    answeredNs: await meter.answeredNs(),
  });
  const costs = await inTurns(meters, rounds, measure, signal);
  for (const meter of meters) await meter.close();
  return new Map([...costs].map(([{ path }, values]) => [path.subject, values]));
}

async function hold(
  playground: Playground,
  node: PlaygroundNode,
  { ingress, groups }: FlowPolicies,
  stack: AsyncDisposableStack,
): Promise<void> {
  if (ingress === undefined) {
    // Flows are tracked on every node of a cluster.
    const argv = ["nft", "-f", "/dev/stdin"];
    const { code, stderr } = await playground.exec(node.netns, argv, { input: TRACKING });
    assert.equal(code, 0, stderr);
    return;
  }
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", AGENT];
  const agent = stack.use(new LineCaller<PolicyKernelCalls>(playground.spawn(node.netns, argv)));
  const [, server] = node.pods;
  assert(server !== undefined);
  const addresses = Object.values(server.addresses);
  const pods = ingress === "none" ? [] : [{ addresses, ingress }];
  await agent.call("hold", { pods, groups, exempt: [], hold: false, podCidrs: [] });
}

function acceptFrom(
  name: string,
  { groups = [], cidrs = [] }: { groups?: readonly string[]; cidrs?: readonly string[] },
): SetRule {
  const blocks = cidrs.map((cidr) => ({ cidr, except: [] }));
  const ports = [
    { protocol: "TCP", first: 1, last: 9_000 },
    { protocol: "UDP", first: 1, last: 9_000 },
  ] as const;
  return sampleRule({ name, peers: samplePeers({ groups, blocks }), ports });
}

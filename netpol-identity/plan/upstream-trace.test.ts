// The scenarios of Kubernetes' own NetworkPolicy suite through the planned tables of both nodes: with
// SCTP, which cannot be sent everywhere.

import assert from "node:assert/strict";
import test from "node:test";
import { type FakeKernel, makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { wholeTable } from "../../lib/nft/table-plan.ts";
import { tracePacket } from "../../lib/nft/trace.ts";
import { SampleEvaluator, type SampleFlow } from "../evaluate/sample-evaluator.ts";
import { UpstreamWorld } from "../evaluate/sample-policy-objects.ts";
import {
  isAllowed,
  UPSTREAM_CASES,
  UPSTREAM_PODS,
  type UpstreamPod,
  type UpstreamTable,
} from "../evaluate/upstream-cases.ts";
import { NO_POLICIES } from "./network-world.ts";
import { planPolicyTables } from "./policy-table.ts";
import { POLICY_TABLE } from "./policy-table-parts.ts";
import { sampleWorld } from "./sample-policy-world.ts";

type Kernels = ReadonlyMap<string, FakeKernel>;

for (const { suite, name, steps } of UPSTREAM_CASES) {
  test(`${suite}: ${name}`, async () => {
    const world = new UpstreamWorld();
    const evaluator = new SampleEvaluator();
    for (const { changes, tables } of steps) {
      world.apply(changes);
      evaluator.hold(world.objects);
      const kernels = new Map<string, FakeKernel>();
      for (const node of ["node-1", "node-2"]) kernels.set(node, await planned(evaluator, node));
      for (const table of tables) assert.deepEqual(differences(kernels, table), []);
    }
  });
}

/** A node's tables; nobody is enrolled. */
async function planned(evaluator: SampleEvaluator, node: string): Promise<FakeKernel> {
  const { groups } = evaluator;
  const network = { ...NO_POLICIES, pods: evaluator.podsOf(node), groups };
  const world = { ...sampleWorld(), pods: [], peers: [], bindings: [], network };
  const kernel = makeFakeKernel();
  await kernel.commit(planPolicyTables(world).slice(0, 2).flatMap(wholeTable));
  return kernel;
}

function differences(kernels: Kernels, table: UpstreamTable): readonly string[] {
  return UPSTREAM_PODS.flatMap((client) =>
    UPSTREAM_PODS.filter((server) => server !== client).flatMap((server) =>
      (["ip", "ip6"] as const).flatMap((family) => {
        const [from, to] = [client.addresses[family], server.addresses[family]];
        const isLetIn = passes(kernels, { client, server }, { ...table, from, to });
        if (isLetIn === isAllowed(table, client.name, server.name)) return [];
        return [
          `${client.name} > ${server.name} over ${family}: ${isLetIn ? "let in" : "dropped"}`,
        ];
      }),
    ),
  );
}

/** Through the forward hooks of the client's node and, where it is another, of the server's. */
function passes(
  kernels: Kernels,
  { client, server }: { readonly client: UpstreamPod; readonly server: UpstreamPod },
  { from, to, protocol, port }: SampleFlow,
): boolean {
  const packet = {
    source: from,
    destination: to,
    protocol: PROTOCOLS[protocol],
    destinationPort: port,
    interface: "eth0",
  };
  return [...new Set([client.node, server.node])].every((node) => {
    const family = from.includes(":") ? "ip6" : "ip";
    const table = kernels.get(node)?.table(family, POLICY_TABLE) ?? assert.fail(node);
    const { verdict } = tracePacket(table, packet, { localAddresses: new Set(), random: () => 0 });
    return verdict !== "drop";
  });
}

const PROTOCOLS = { TCP: "tcp", UDP: "udp", SCTP: "sctp", ICMP: "icmp" } as const;

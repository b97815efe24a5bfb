// Every packet case, traced: the claim is checked for every endpoint that chance could draw.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import { parseNode } from "../../lib/kube/api/node.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseServiceCidr } from "../../lib/kube/api/service-cidr.ts";
import { SERVICE_PROXY_NAME_LABEL } from "../../lib/kube/source/selection.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { type TraceResult, traceEveryDraw, tracePacket } from "../../lib/nft/trace.ts";
import { parseNodeFlags } from "../config/node-flags.ts";
import { wholeTransaction } from "./changes.ts";
import type { TableSettings } from "./family-facts.ts";
import { NodePlan } from "./node-plan.ts";
import {
  type CaseNode,
  type CasePod,
  caseManifests,
  entryAddress,
  type Manifest,
  nodeManifest,
  OTHER_ADDRESSES,
  SERVICE_CIDR_MANIFEST,
} from "./packet-case-manifests.ts";
import {
  CASE_GROUPS,
  type CaseGroup,
  type Claim,
  caseNumber,
  type Sender,
} from "./packet-cases.ts";
import { tableSettings } from "./table-settings.ts";

const NODES: readonly CaseNode[] = [1, 2].map((n) => ({
  name: `node-${n}`,
  addresses: { ip: `192.168.77.1${n}`, ip6: `fd77::${(10 + n).toString(16)}` },
  podCidrs: { ip: `10.71.${n}.0/24`, ip6: `fd71:0:0:${n}::/64` },
}));
const PODS: readonly CasePod[] = [1, 2].flatMap((n) =>
  [1, 2].map((k) => ({
    name: `pod-${n}-${k}`,
    node: `node-${n}`,
    addresses: { ip: `10.71.${n}.${k + 1}`, ip6: `fd71:0:0:${n}::${k + 1}` },
  })),
);
const CLIENT = { ip: "192.168.77.2", ip6: "fd77::2" };
const NODE = NODES[0] ?? assert.fail("node-1");
const LOCAL_ADDRESSES = new Set([
  ...Object.values(NODE.addresses),
  ...Object.values(OTHER_ADDRESSES),
  "127.0.0.1",
  "::1",
]);

for (const group of CASE_GROUPS) {
  describe(`packet cases, traced, ${group.name}`, async () => {
    const tables = await planGroup(group);
    group.cases.forEach((packetCase, index) => {
      test(packetCase.name, () => {
        for (const family of ["ip", "ip6"] as const) {
          for (const protocol of ["tcp", "udp"] as const) {
            for (const claim of packetCase.claims) {
              const way = {
                number: caseNumber(group, index),
                family,
                protocol,
                cni: group.cni ?? "routed",
              };
              checkClaim(tables, claim, way);
            }
          }
        }
      });
    });
  });
}

async function planGroup(group: CaseGroup): Promise<ReturnType<typeof makeFakeKernel>> {
  const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
  const manifests = [
    SERVICE_CIDR_MANIFEST,
    ...NODES.map(nodeManifest),
    ...group.cases.flatMap((packetCase, index) =>
      caseManifests(packetCase, caseNumber(group, index), PODS),
    ),
  ];
  for (const manifest of manifests) put(store, manifest);
  const { settings } = parseNodeFlags(group.flags, () => assert.fail("no file is named"));
  const table: TableSettings = tableSettings(settings, "node-1", []);
  const plan = new NodePlan(table, store, [...LOCAL_ADDRESSES], new Map());
  assert.deepEqual(plan.problems(), []);
  const kernel = makeFakeKernel();
  await kernel.commit(plan.families.map(wholeTransaction));
  return kernel;
}

function put(store: ReturnType<typeof makeStore>, manifest: Manifest): void {
  const { labels = {} } = manifest["metadata"] as { labels?: Record<string, string> };
  if (SERVICE_PROXY_NAME_LABEL in labels) return;
  const parsers = {
    Service: parseService,
    EndpointSlice: parseEndpointSlice,
    Node: parseNode,
    ServiceCIDR: parseServiceCidr,
  };
  const parsed = parsers[manifest["kind"] as keyof typeof parsers](manifest);
  assert.equal(parsed.kind, "ok");
  store.put(parsed.object);
}

interface Way {
  readonly number: number;
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
  readonly cni: "routed" | "bridge";
}

function checkClaim(
  kernel: ReturnType<typeof makeFakeKernel>,
  claim: Claim,
  { number, family, protocol, cni }: Way,
): void {
  const where = `${claim.from} → ${claim.to}, ${family} ${protocol}`;
  const table = kernel.table(family, "innermesh") ?? assert.fail("no table");
  const { address, port } = entryAddress(claim.to, number, family, NODE);
  const packet = { ...origin(claim.from, family, cni), protocol };
  const results = traceEveryDraw((random) =>
    tracePacket(
      table,
      { ...packet, destination: address, destinationPort: port },
      { localAddresses: LOCAL_ADDRESSES, random },
    ),
  );
  for (const result of results) {
    assert.equal(result.mark, result.verdict === "accept" ? 0 : result.mark, `mark, ${where}`);
    if (result.verdict === "accept") assert.equal(result.priority, 0, `priority, ${where}`);
  }
  assert.deepEqual(outcomeOf(results, family), expected(claim), where);
}

function expected(claim: Claim): unknown {
  if (typeof claim.expect === "string") return claim.expect;
  return { reach: [...claim.expect.reach].sort(), masquerade: claim.expect.source === "node" };
}

function outcomeOf(results: readonly TraceResult[], family: Family): unknown {
  const [first] = results;
  if (first === undefined) return "nothing";
  if (first.verdict === "reject") return "refused";
  if (first.verdict === "drop") return "dropped";
  if (!first.translated) return "untouched";
  const reach = results.map((r) => podAt(r.destination, family));
  return {
    reach: [...new Set(reach)].sort(),
    masquerade: results.every((result) => result.masquerade),
  };
}

function podAt(address: string, family: Family): string {
  return PODS.find((pod) => pod.addresses[family] === address)?.name ?? address;
}

function origin(
  from: Sender,
  family: Family,
  cni: Way["cni"],
): { readonly source: string; readonly interface?: string } {
  if (from === "node-1") return { source: NODE.addresses[family] };
  if (from === "client") return { source: CLIENT[family], interface: "eth0" };
  const pod = PODS.find(({ name }) => name === from) ?? assert.fail(from);
  return {
    source: pod.addresses[family],
    interface: cni === "bridge" ? "cni0" : from.replace("pod", "veth"),
  };
}

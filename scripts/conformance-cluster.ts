// The cluster that upstream suites run on: real nodes, their control plane and DNS, the
// definitions of the suites' APIs, and Innermesh on top.

import { setTimeout as delay } from "node:timers/promises";
import type { V1Deployment, V1Node } from "@kubernetes/client-node";
import type { Playground } from "../playground/cluster.ts";
import {
  createRealNetwork,
  type RealNode,
  realNodesDirectory,
  removeRealNodes,
  startRealNode,
} from "../playground/real-node.ts";
import { type PlaygroundNode, serviceCidrs } from "../playground/topology.ts";
import type { ApiClient } from "../test/cluster/api-client.ts";
import { ensureBinaries } from "../test/cluster/binaries.ts";
import type { ControlPlane } from "../test/cluster/control-plane.ts";
import { applyGatewayDefinitions } from "../test/cluster/gateway-api.ts";
import { startRealControlPlane } from "../test/cluster/real-control-plane.ts";
import { clusterDns } from "../test/cluster/real-dns.ts";
import { applyPolicyDefinitions } from "./conformance-definitions.ts";
import { COREDNS_IMAGE, PAUSE_IMAGE } from "./conformance-images.ts";
import { type Innermesh, type InnermeshOptions, startInnermesh } from "./conformance-innermesh.ts";

const NODES = 2;
const SERVICE_IPS = { api: "10.96.0.1", dns: "10.96.0.10" };
const READY_WITHIN_MS = 120_000;

export interface RealCluster extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  readonly playground: Playground;
  readonly innermesh: Innermesh;
}

export interface RealClusterOptions extends InnermeshOptions {
  /** Paths of the archives that every node is to have. */
  readonly images: readonly string[];
  /** Called with a line for each step. */
  readonly print: (line: string) => void;
}

/**
 * Starts everything and waits until nodes, DNS and agents are ready.
 * @throws Error with the ends of the logs when something does not get ready
 */
export async function startRealCluster(options: RealClusterOptions): Promise<RealCluster> {
  const { images, print } = options;
  const stack = new AsyncDisposableStack();
  try {
    const playground = await createRealNetwork(NODES);
    stack.defer(() => removeRealNodes(playground));
    stack.use(playground);
    const { hostAddress } = playground;
    if (hostAddress === undefined) throw new Error("Cannot reach nodes: no link to the machine");
    print("starting the control plane");
    const real = await startRealControlPlane({
      bindAddress: hostAddress,
      serviceCidrs: [serviceCidrs.ip, serviceCidrs.ip6],
      directory: realNodesDirectory(playground),
    });
    stack.use(real);
    const { controlPlane } = real;
    print(`starting ${NODES} nodes (logs: ${controlPlane.directory})`);
    const { kubeletClientAuthority } = real;
    const start = (node: PlaygroundNode): Promise<RealNode> =>
      startKubelet({ playground, controlPlane, kubeletClientAuthority, images }, node);
    const nodes = await Promise.all(playground.nodes.map(start));
    await nodesReady(playground, controlPlane.admin, nodes);
    print("starting Innermesh");
    await applyGatewayDefinitions(controlPlane.admin);
    await applyPolicyDefinitions(controlPlane.admin);
    const innermesh = stack.use(await startInnermesh(playground, controlPlane, options));
    print("starting cluster DNS");
    await startDns(controlPlane.admin);
    const ending = stack.move();
    return {
      controlPlane,
      playground,
      innermesh,
      [Symbol.asyncDispose]: () => ending.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface KubeletNeeds {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
  readonly kubeletClientAuthority: string;
  readonly images: readonly string[];
}

async function startKubelet(needs: KubeletNeeds, node: PlaygroundNode): Promise<RealNode> {
  const { playground, controlPlane, kubeletClientAuthority, images } = needs;
  const { kubelet } = await ensureBinaries(["kubelet"]);
  const user = { user: `system:node:${node.name}`, groups: ["system:nodes"] };
  return startRealNode(playground, node, {
    pauseImage: PAUSE_IMAGE,
    clientAuthorityFile: kubeletClientAuthority,
    clusterDns: SERVICE_IPS.dns,
    kubeletFile: kubelet,
    kubeconfigFile: await controlPlane.kubeconfig(user),
    images,
  });
}

/** Waits for the kubelets, and says what an administrator would: pod ranges and zones. */
async function nodesReady(
  playground: Playground,
  admin: ApiClient,
  running: readonly RealNode[],
): Promise<void> {
  for (const { name, number, podCidrs } of playground.nodes) {
    const path = `/api/v1/nodes/${name}`;
    await until(`${name} is there`, running, async () => {
      await admin.request("GET", path);
      return true;
    });
    await admin.request("PATCH", path, {
      metadata: { labels: { "topology.kubernetes.io/zone": number % 2 === 1 ? "a" : "b" } },
      spec: { podCIDR: podCidrs.ip, podCIDRs: [podCidrs.ip, podCidrs.ip6] },
    });
    await until(`${name} is ready`, running, async () => {
      const node = await admin.request<V1Node>("GET", path);
      const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.status === "True";
    });
  }
}

async function startDns(admin: ApiClient): Promise<void> {
  const objects = clusterDns({
    image: COREDNS_IMAGE,
    clusterIP: SERVICE_IPS.dns,
    apiAddress: SERVICE_IPS.api,
  });
  for (const object of objects) await admin.apply(object);
  await until("cluster DNS answers", [], async () => {
    const path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
    const deployment = await admin.request<V1Deployment>("GET", path);
    return (deployment.status?.readyReplicas ?? 0) > 0;
  });
}

async function until(
  what: string,
  nodes: readonly RealNode[],
  isDone: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (!(await isDone().catch(() => false))) {
    if (performance.now() > deadline || nodes.some(({ running }) => !running)) {
      const logs = await Promise.all(nodes.map((node) => node.logEnds()));
      throw new Error(`Cannot see that ${what}:\n${logs.join("\n")}`);
    }
    await delay(200);
  }
}

// Machines of a cluster: playground nodes that a real control plane can be reached from.

import assert from "node:assert/strict";
import { createPlayground, type Playground, sweepPlaygrounds } from "../../playground/cluster.ts";
import { type CniShape, type PlaygroundNode, serviceCidrs } from "../../playground/topology.ts";
import type { ApiClient } from "./api-client.ts";
import { registerNode } from "./cluster-objects.ts";
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "./control-plane.ts";

export interface MachineOptions
  extends Pick<ControlPlaneOptions, "controllers" | "apiserverFlags"> {
  readonly nodes: number;
  readonly podsPerNode: number;
  /** @default "routed" */
  readonly cni?: CniShape;
}

export interface Machines {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
}

/** No Node is registered yet. What it starts goes with the stack. */
export async function startMachines(
  { nodes, podsPerNode, cni = "routed", ...plane }: MachineOptions,
  stack: AsyncDisposableStack,
): Promise<Machines> {
  await sweepPlaygrounds();
  const playground = stack.use(await createPlayground({ nodes, podsPerNode, cni, hostLink: true }));
  const { hostAddress: bindAddress } = playground;
  assert(bindAddress !== undefined);
  const cidrs = [serviceCidrs.ip, serviceCidrs.ip6];
  const started = await startControlPlane({ ...plane, bindAddress, serviceCidrs: cidrs });
  return { playground, controlPlane: stack.use(started) };
}

/** Writes the Node object of a playground node. */
export async function registerMachine(
  admin: ApiClient,
  { name, addresses, podCidrs }: PlaygroundNode,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await registerNode(admin, {
    name,
    addresses: [addresses.ip, addresses.ip6],
    podCIDRs: [podCidrs.ip, podCidrs.ip6],
    labels,
  });
}

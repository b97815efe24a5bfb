// Which Services the kernel may not serve alone: those whose connections have identities to prove.

import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { TunnelPlan } from "./tunnel-plan.ts";

/** Whether a pod of this node that has an identity may call an endpoint that has one. */
export function hasIdentities(
  { workloads, peers }: Pick<TunnelPlan, "workloads" | "peers">,
  slices: ReadonlyMap<string, EndpointSlice>,
): boolean {
  if (workloads.size === 0) return false;
  return slices
    .values()
    .some(({ endpoints }) =>
      endpoints.some(({ address }) => workloads.has(address) || peers.has(address)),
    );
}

// Which Services the kernel may not serve alone: those whose connections have identities to prove.

import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { TunnelPlan } from "./tunnel-plan.ts";

/** Whether somebody of this node who has an identity may call an endpoint that has one. */
export function hasIdentities(
  { workloads, peers, host }: Pick<TunnelPlan, "workloads" | "peers" | "host">,
  slices: ReadonlyMap<string, EndpointSlice>,
): boolean {
  if (workloads.size === 0 && host === undefined) return false;
  return slices
    .values()
    .some(({ endpoints }) =>
      endpoints.some(({ address }) => workloads.has(address) || peers.has(address)),
    );
}

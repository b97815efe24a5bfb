// The capabilities of the node agent, each with its reason. `test/cluster/manifests.test.ts` runs
// the agent with exactly these, and with each of them missing.

export interface Capability {
  /** As in a container's securityContext. */
  readonly name: string;
  readonly why: string;
  /** Without one that is needed nothing is served; without another it is served with more risk. */
  readonly needed: boolean;
}

export const nodeCapabilities: readonly Capability[] = [
  // Where it is not granted, workers keep NET_ADMIN, which could change rules, in its place.
  {
    name: "NET_RAW",
    why: "all that proxy workers keep: sockets that use any address",
    needed: false,
  },
  {
    name: "NET_ADMIN",
    why: "nf_tables, conntrack and kube-proxy's leftovers, by netlink",
    needed: true,
  },
];

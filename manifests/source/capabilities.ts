// The capabilities of the node agent, each with its reason. `test/cluster/manifests.test.ts` runs
// the agent with exactly these, and with each of them missing.

export interface Capability {
  /** As in a container's securityContext. */
  readonly name: string;
  readonly why: string;
}

export const nodeCapabilities: readonly Capability[] = [
  { name: "NET_RAW", why: "all that proxy workers keep: sockets that use any address" },
  { name: "NET_ADMIN", why: "nf_tables, conntrack and kube-proxy's leftovers, by netlink" },
];

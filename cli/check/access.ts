// What the node role asks of the API server: the verbs of its ClusterRole, and the resources that
// must be served.

export interface NeededAccess {
  /** "" is the core group. */
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  /** Without it the node serves nothing; without the rest it says less. */
  readonly needed: boolean;
}

const READ = ["list", "watch"] as const;
export const GATEWAY = "gateway.networking.k8s.io";

/** Equal to the rules of the agent's ClusterRole. */
export const AGENT_ACCESS: readonly NeededAccess[] = [
  { group: "", resource: "services", verbs: READ, needed: true },
  { group: "", resource: "nodes", verbs: READ, needed: true },
  { group: "discovery.k8s.io", resource: "endpointslices", verbs: READ, needed: true },
  { group: "networking.k8s.io", resource: "servicecidrs", verbs: READ, needed: false },
  { group: "", resource: "namespaces", verbs: READ, needed: false },
  { group: "", resource: "pods", verbs: READ, needed: false },
  { group: "", resource: "serviceaccounts", verbs: READ, needed: false },
  { group: GATEWAY, resource: "httproutes", verbs: READ, needed: false },
  { group: GATEWAY, resource: "grpcroutes", verbs: READ, needed: false },
  { group: GATEWAY, resource: "tcproutes", verbs: READ, needed: false },
  { group: GATEWAY, resource: "tlsroutes", verbs: READ, needed: false },
  { group: GATEWAY, resource: "udproutes", verbs: READ, needed: false },
  { group: GATEWAY, resource: "referencegrants", verbs: READ, needed: false },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: READ, needed: false },
  {
    group: "policy.networking.k8s.io",
    resource: "clusternetworkpolicies",
    verbs: READ,
    needed: false,
  },
  { group: "innermesh.io", resource: "serviceaccountpolicies", verbs: READ, needed: false },
  { group: "innermesh.io", resource: "meshpolicies", verbs: READ, needed: false },
  { group: "events.k8s.io", resource: "events", verbs: ["create"], needed: false },
];

export const ENDPOINT_SLICES = "discovery.k8s.io/v1 endpointslices";
export const SERVICE_CIDRS = "networking.k8s.io/v1 servicecidrs";
/** The release of the Gateway API that we are built and tested with. */
export const GATEWAY_RELEASE = { version: "v1.6.3", channel: "experimental" } as const;
/** Where to ask for them. */
export const GROUP_VERSIONS = ["discovery.k8s.io/v1", "networking.k8s.io/v1"] as const;

// What `innermesh check` knows before it judges: every answer of the world, or why there is none.
// Gathered once (gather.ts), judged by pure functions (judge-*.ts).

import type { Node } from "../../lib/kube/api/node.ts";
import type { Problem } from "../../lib/kube/store.ts";
import type { Family } from "../../lib/nft/objects.ts";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";

/** An answer, or why there is none. */
export type Fact<T> =
  | { readonly kind: "known"; readonly value: T }
  | { readonly kind: "unknown"; readonly why: string };

export interface Facts {
  /** Before an install: kube-proxy still serves, and no agent of ours is expected. */
  readonly pre: boolean;
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly kernel: KernelFacts;
  readonly host: HostFacts;
  readonly lane: LaneFacts;
  readonly rivals: RivalFacts;
  readonly cluster: ClusterFacts;
  readonly agent: AgentFacts;
  readonly identity: IdentityFacts;
  readonly policy: PolicyFacts;
}

export interface KernelFacts {
  /** As `uname -r`. */
  readonly release: string;
  /** The nf_tables generation: known when nf_tables answers. */
  readonly generation: Fact<number>;
  /** Parts of our ruleset that the kernel refused in a throw-away table. */
  readonly refused: Fact<readonly RefusedPart[]>;
  /** The same of what only proxy lanes need. */
  readonly refusedLane: Fact<readonly RefusedPart[]>;
  /** As `nft --version` says, e.g. `1.0.6`; undefined when there is no such program. */
  readonly nftVersion: Fact<string | undefined>;
  /** Effective capabilities of this process, bit by number. */
  readonly capabilities: Fact<bigint>;
  /** Connection tracking knows SCTP. */
  readonly tracksSctp: Fact<boolean>;
}

export interface RefusedPart {
  readonly family: Family;
  /** e.g. `masquerade` */
  readonly part: string;
  readonly why: string;
}

export interface HostFacts {
  /** Addresses on the interfaces here. */
  readonly addresses: Fact<readonly string[]>;
  readonly ipForward: Fact<boolean>;
  readonly ip6Forward: Fact<boolean>;
  /** With the kernel's own `all`, which adds to each. */
  readonly interfaces: Fact<readonly InterfaceFacts[]>;
  /** Bridges that veths hang on. */
  readonly bridges: Fact<readonly BridgeFacts[]>;
  /** Bridged packets meet netfilter's ip hooks; undefined when br_netfilter is not loaded. */
  readonly bridgeCallsIptables: Fact<boolean | undefined>;
  readonly conntrack: Fact<{ readonly entries: number; readonly limit: number }>;
  readonly tcpBeLiberal: Fact<boolean>;
  /** Kernel limits that the settings ask for and that do not stand, as `file: is → wanted`. */
  readonly limitsToSet: Fact<readonly string[]>;
  /** Where the kernel takes source ports from. */
  readonly ephemeralPorts: Fact<EphemeralPorts>;
  /** Base chains of others, that drop what no rule accepts. */
  readonly dropPolicies: Fact<readonly DropPolicy[]>;
}

export interface InterfaceFacts {
  readonly name: string;
  /** 0 off, 1 strict, 2 loose */
  readonly rpFilter: number;
  readonly routeLocalnet: boolean;
  readonly srcValidMark: boolean;
}

export interface BridgeFacts {
  readonly name: string;
  /** Canonical addresses on the bridge itself. */
  readonly addresses: readonly string[];
  readonly veths: readonly string[];
}

export interface EphemeralPorts {
  readonly first: number;
  readonly last: number;
  /** Ports taken out of the range. */
  readonly reserved: readonly (readonly [first: number, last: number])[];
}

export interface DropPolicy {
  /** e.g. `inet filter` */
  readonly table: string;
  readonly chain: string;
  readonly hook: "input" | "forward";
}

/** What proxy lanes need around our table. */
export interface LaneFacts {
  /** Routing rules and routes that are not there, in words. */
  readonly missingRoutes: Fact<readonly string[]>;
  /** The pair of links that lifts connections off bridges is there. */
  readonly hasLiftLinks: Fact<boolean>;
  /** net.ipv4.tcp_migrate_req */
  readonly migratesRequests: Fact<boolean>;
  /** Those of the workers' ports that somebody listens at. */
  readonly takenPorts: Fact<readonly number[]>;
  /** Why the agent's socket cannot be reached; undefined when it can. */
  readonly adminSocket: Fact<string | undefined>;
}

/** What another owner of the Services left or runs. */
export interface RivalFacts {
  /** Rules, one phrase for each kind. */
  readonly rules: Fact<readonly string[]>;
  /** Processes named kube-proxy in this network namespace. */
  readonly processes: Fact<readonly number[]>;
}

export interface ClusterFacts {
  /** An API server, or a directory in its place. */
  readonly source: "api" | "directory";
  /** As `/version` says, e.g. `v1.36.3`. */
  readonly version: Fact<string>;
  /** The server's clock minus ours. */
  readonly clockSkewMs: Fact<number>;
  /** Resources served, as `discovery.k8s.io/v1 endpointslices`. */
  readonly resources: Fact<ReadonlySet<string>>;
  /** What these credentials may not do, of all that the agent does. */
  readonly denied: Fact<readonly Denied[]>;
  /** The Gateway API's definitions; undefined when there are none. */
  readonly gatewayApi: Fact<GatewayDefinitions | undefined>;
  readonly objects: Fact<ClusterObjects>;
}

/** As annotations of the definitions say; empty when these credentials may not read them. */
export interface GatewayDefinitions {
  /** e.g. `v1.6.3` */
  readonly version: string;
  readonly channel: string;
}

export interface Denied {
  /** e.g. `watch services` */
  readonly access: string;
  /** Without it the node serves nothing. */
  readonly needed: boolean;
}

/** One snapshot of what the source holds. */
export interface ClusterObjects {
  /** The Node object of this node's name. */
  readonly node: Node | undefined;
  readonly serviceCount: number;
  /** Routes that name a Service as their parent. */
  readonly routeCount: number;
  /** Services that a proxy worker is to serve on this node. */
  readonly laneServices: readonly string[];
  /** The cluster has addresses of this family. */
  readonly families: ReadonlySet<Family>;
  /** Services with an SCTP port. */
  readonly sctpServices: readonly string[];
  readonly nodePorts: readonly number[];
  readonly problems: readonly Problem[];
}

export interface AgentFacts {
  readonly healthz: Fact<PageFacts>;
  readonly livez: Fact<PageFacts>;
  readonly proxyMode: Fact<PageFacts>;
  /** The metrics page has our own series. */
  readonly metricsAreOurs: Fact<boolean>;
  /** How many workers take connections. */
  readonly proxyWorkers: Fact<number>;
  readonly tables: Fact<readonly TableFacts[]>;
}

/** Unknown where identities are off. */
export interface IdentityFacts {
  /** What the agent tells on its socket. */
  readonly report: Fact<IdentityReport>;
  /** Places of the tables of identities that the kernel has not got, as `bridge`. */
  readonly missingTables: Fact<readonly string[]>;
  /** Whether the IP hooks see frames that stay on a bridge. */
  readonly watchedBridges: Fact<Readonly<Record<Family, boolean>>>;
}

export interface PolicyFacts {
  /** Others that enforce policies on this node, one phrase each. */
  readonly engines: Fact<readonly string[]>;
  /** Rules of others that deny the port of tunnels, as `inet host input`. */
  readonly tunnelBlocks: Fact<readonly string[]>;
  /** Whether the IP hooks see frames that stay on a bridge. */
  readonly watchedBridges: Fact<Readonly<Record<Family, boolean>>>;
  /** Of the cluster; where policies are off, NetworkPolicies alone. */
  readonly count: Fact<number>;
  /** Places of our tables that the kernel has not got; unknown where policies are off. */
  readonly missingTables: Fact<readonly string[]>;
  /** Policies that the agent does not hold as they are now; unknown where policies are off. */
  readonly lacking: Fact<readonly string[]>;
  /** Why the kernel takes no rules that tell of denials; undefined where it does. */
  readonly logRefusal: Fact<string | undefined>;
}

export interface PageFacts {
  readonly status: number;
  readonly body: string;
}

/** The kernel's table beside the plan made from the same source. */
export interface TableFacts {
  readonly family: Family;
  /** "missing", or what differs, in words. */
  readonly state: "missing" | readonly string[];
}

export function known<T>(value: T): Fact<T> {
  return { kind: "known", value };
}

export function unknown(why: string): { readonly kind: "unknown"; readonly why: string } {
  return { kind: "unknown", why };
}

// The one model of how this node is to run: flags and file end up here, fully defaulted.

import type { Address } from "../../lib/ip/address.ts";
import type { DetectLocal } from "../model/local-traffic.ts";
import type { NodePortAddresses } from "../model/node-facts.ts";
import type { HostPort } from "./host-port.ts";

export type NodeAction =
  | { readonly kind: "run" | "cleanup" | "init-only" | "version" | "help" }
  | { readonly kind: "write-config"; readonly path: string };

export type SourceSettings =
  /** Without kubeconfig and master: the pod's own service account. */
  | { readonly kind: "kube"; readonly kubeconfigPath?: string; readonly masterUrl?: string }
  | { readonly kind: "directory"; readonly path: string };

/** 0 everywhere means: leave the kernel's value alone. */
export interface ConntrackSettings {
  readonly maxPerCore: number;
  readonly minEntries: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

export interface ProxySettings {
  /** 0: by the number of CPUs. */
  readonly workers: number;
  readonly insidePort: number;
  readonly outsidePort: number;
  readonly fallback: "kernel" | "refuse";
  readonly drainTimeoutMs: number;
  /** 0–1 */
  readonly accessLogShare: number;
  /** Forwarded messages tell of this hop. */
  readonly via: boolean;
  /** Missing: no admin socket. */
  readonly adminSocket?: string;
}

export type AuthoritySettings =
  | { readonly kind: "service"; readonly service: string; readonly port: number }
  | { readonly kind: "url"; readonly url: string }
  /** This node signs for itself, with what the directory holds. */
  | { readonly kind: "directory"; readonly path: string };

export interface IdentitySettings {
  /** Of pods about which no label says anything; none: nobody has an identity, nor asks for one. */
  readonly mode: "none" | "off" | "permissive" | "strict";
  readonly trustDomain: string;
  readonly authority: AuthoritySettings;
  readonly tokenFile: string;
  readonly lifetimeMs: number;
  readonly tunnelPort: number;
  readonly directPort: number;
}

export interface NodeSettings {
  readonly action: NodeAction;
  /** To be watched: kube-proxy exits when its file changes, and so do we. */
  readonly configFilePath?: string;
  readonly source: SourceSettings;
  /** Lower case; the host's name in its place when missing. */
  readonly nodeNameOverride?: string;
  /** Wins over the Node object's address of its family. */
  readonly nodeAddressOverride?: Address;
  readonly proxyMode: "auto" | "kernel" | "userspace";
  readonly nftBackend: "netlink" | "command";
  /** Retry after a failed sync; twice this with changes pending is unhealthy. */
  readonly syncPeriodMs: number;
  /** Never more than `syncPeriodMs`. */
  readonly minSyncPeriodMs: number;
  /** 0 means no audit. */
  readonly auditPeriodMs: number;
  readonly detectLocal: DetectLocal;
  readonly nodePortAddresses: NodePortAddresses;
  readonly masqueradeAll: boolean;
  /** 0–31; never a bit that other marks of ours use. */
  readonly masqueradeBit: number;
  /** Missing: no health server. */
  readonly healthzAddress?: HostPort;
  /** Missing: no metrics server. */
  readonly metricsAddress?: HostPort;
  readonly bindAddressHardFail: boolean;
  readonly proxy: ProxySettings;
  readonly identity: IdentitySettings;
  /** Whether this node enforces policies. */
  readonly networkPolicy: "none" | "enforce";
  readonly policyCanary: boolean;
  readonly conntrack: ConntrackSettings;
  /** -1000–1000 */
  readonly oomScoreAdj: number;
  readonly log: { readonly verbosity: number; readonly format: "text" | "json" };
}

/** The packet mark that asks for masquerading: one bit. */
export function masqueradeMark(settings: Pick<NodeSettings, "masqueradeBit">): number {
  return (1 << settings.masqueradeBit) >>> 0;
}

/** @param cpus of this machine */
export function workerCount({ workers }: ProxySettings, cpus: number): number {
  return workers === 0 ? Math.min(8, Math.max(1, Math.floor(cpus / 2))) : workers;
}

/** @param hostname the machine's own name, used when nothing overrides it */
export function nodeNameOf(settings: NodeSettings, hostname: string): string {
  return settings.nodeNameOverride ?? hostname.trim().toLowerCase();
}

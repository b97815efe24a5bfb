// The kernel settings that are set at start and never reset: connection tracking limits and
// timeouts and this process's place in the OOM killer's list, which kube-proxy sets too, and what
// the userspace lanes need. Planned first, then written.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NodeSettings } from "../config/node-settings.ts";

/** Files of the kernel, relative to `/`. */
const FILES = {
  conntrackMax: "proc/sys/net/netfilter/nf_conntrack_max",
  hashSize: "sys/module/nf_conntrack/parameters/hashsize",
  tcpEstablished: "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
  tcpCloseWait: "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
  tcpBeLiberal: "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal",
  udp: "proc/sys/net/netfilter/nf_conntrack_udp_timeout",
  udpStream: "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
  oomScore: "proc/self/oom_score_adj",
  tcpMigrateReq: "proc/sys/net/ipv4/tcp_migrate_req",
  tcpMtuProbing: "proc/sys/net/ipv4/tcp_mtu_probing",
  tcpEarlyDemux: "proc/sys/net/ipv4/tcp_early_demux",
} as const;

type KernelFile = keyof typeof FILES;

/** What the kernel says now; missing when the file cannot be read. */
export type KernelValues = Readonly<Partial<Record<KernelFile, number>>>;

export interface SysctlWrite {
  readonly file: KernelFile;
  readonly value: number;
  /** The flag that asked for it and turns it off. */
  readonly flag: string;
  /** Without it the node must not start. The OOM score is only good manners. */
  readonly required: boolean;
}

export interface SysctlWarning {
  readonly message: string;
}

/** A kernel setting that was asked for could not be had. */
export class SysctlError extends Error {
  override readonly name = "SysctlError";
  /** System error code, e.g. `EROFS`. */
  readonly code: string;

  constructor(write: SysctlWrite, cause: unknown) {
    super(explain(write, cause), { cause });
    this.code = codeOf(cause);
  }
}

/** Beyond this a CPU-scaled table costs memory that no node has use for. */
const CONNTRACK_CAP = 1_048_576;
/** Conntrack's hash table wants one bucket for so many entries. */
const ENTRIES_PER_BUCKET = 4;

/**
 * Plans the writes that bring the kernel to the settings; what already stands is left out, so
 * that a read-only /proc with the right values will do.
 * @param current what the kernel says now
 */
export function planSysctls(
  settings: Pick<NodeSettings, "conntrack" | "oomScoreAdj" | "proxyMode" | "identity">,
  cpuCount: number,
  current: KernelValues,
): readonly SysctlWrite[] {
  const { conntrack } = settings;
  const limit = conntrackLimit(conntrack, cpuCount);
  const buckets = Math.floor(limit / ENTRIES_PER_BUCKET);
  const wanted: SysctlWrite[] = [
    must("conntrackMax", limit, "--conntrack-max-per-core"),
    must("tcpEstablished", seconds(conntrack.tcpEstablishedTimeoutMs), TCP_ESTABLISHED_FLAG),
    must("tcpCloseWait", seconds(conntrack.tcpCloseWaitTimeoutMs), TCP_CLOSE_WAIT_FLAG),
    must("tcpBeLiberal", conntrack.tcpBeLiberal ? 1 : 0, "--conntrack-tcp-be-liberal"),
    must("udp", seconds(conntrack.udpTimeoutMs), "--conntrack-udp-timeout"),
    must("udpStream", seconds(conntrack.udpStreamTimeoutMs), "--conntrack-udp-timeout-stream"),
  ].filter((write) => write.value > 0);
  // Only ever raised: another component may want more.
  if (limit > 0 && (current.hashSize ?? 0) < buckets) {
    wanted.push(must("hashSize", buckets, "--conntrack-max-per-core"));
  }
  const { oomScoreAdj: value } = settings;
  wanted.push({ file: "oomScore", value, flag: "--oom-score-adj", required: false });
  // Connections that wait at a listener which closes move on to its sibling, for IPv6 as well.
  wanted.push({ file: "tcpMigrateReq", value: 1, flag: LANES_FLAG, required: false });
  // A connection that gets no answer tries smaller packets, for IPv6 as well: somebody on the path
  // may drop the ICMP that would say so. Who probes always (2) is left alone.
  if (settings.proxyMode !== "kernel" && current.tcpMtuProbing !== 2) {
    wanted.push({ file: "tcpMtuProbing", value: 1, flag: LANES_FLAG, required: false });
  }
  // Sockets that answer tunnels have pods' addresses. One in TIME_WAIT would be found for what is
  // forwarded between the same addresses and ports, for IPv6 as well, and that be dropped.
  if (settings.identity.mode !== "none") {
    wanted.push({ file: "tcpEarlyDemux", value: 0, flag: IDENTITY_FLAG, required: false });
  }
  return wanted.filter((write) => current[write.file] !== write.value);
}

const TCP_ESTABLISHED_FLAG = "--conntrack-tcp-timeout-established";
const IDENTITY_FLAG = "--identity";
const LANES_FLAG = "--proxy-mode";
const TCP_CLOSE_WAIT_FLAG = "--conntrack-tcp-timeout-close-wait";

/** @param root `/`, or where a container or a test has its /proc and /sys */
export async function readKernelValues(root: string): Promise<KernelValues> {
  const values: Partial<Record<KernelFile, number>> = {};
  for (const [file, path] of fileEntries()) {
    const value = await readNumber(join(root, path));
    if (value !== undefined) values[file] = value;
  }
  return values;
}

/**
 * Writes the plan in order.
 * @returns what did not work but is not needed
 * @throws {SysctlError} at the first required write that fails
 */
export async function applySysctls(
  plan: readonly SysctlWrite[],
  root: string,
): Promise<readonly SysctlWarning[]> {
  const warnings: SysctlWarning[] = [];
  for (const write of plan) {
    try {
      await writeFile(join(root, FILES[write.file]), String(write.value));
    } catch (cause) {
      if (write.required) throw new SysctlError(write, cause);
      warnings.push({ message: explain(write, cause) });
    }
  }
  return warnings;
}

function must(file: KernelFile, value: number, flag: string): SysctlWrite {
  return { file, value, flag, required: true };
}

function conntrackLimit(conntrack: NodeSettings["conntrack"], cpuCount: number): number {
  if (conntrack.maxPerCore === 0) return 0;
  const scaled = conntrack.maxPerCore * cpuCount;
  return Math.max(conntrack.minEntries, Math.min(CONNTRACK_CAP, scaled));
}

function seconds(durationMs: number): number {
  return Math.floor(durationMs / 1_000);
}

function fileEntries(): readonly (readonly [KernelFile, string])[] {
  const names: readonly KernelFile[] = [
    "conntrackMax",
    "hashSize",
    "tcpEstablished",
    "tcpCloseWait",
    "tcpBeLiberal",
    "udp",
    "udpStream",
    "oomScore",
    "tcpMigrateReq",
    "tcpMtuProbing",
    "tcpEarlyDemux",
  ];
  return names.map((name) => [name, FILES[name]]);
}

async function readNumber(path: string): Promise<number | undefined> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    return /^-?\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    // Missing or unreadable counts as different: the write that follows tells why.
    return undefined;
  }
}

function explain(write: SysctlWrite, cause: unknown): string {
  const code = codeOf(cause);
  const hint = HINTS[code] ?? "the kernel refused it";
  const { file, value } = write;
  return `Cannot set /${FILES[file]} to ${value}: ${code}, ${hint}; or ${adviceOf(write)}`;
}

function adviceOf({ file, flag }: SysctlWrite): string {
  if (file === "tcpMtuProbing") return "expect stalls on paths with a small MTU that drop ICMP";
  switch (flag) {
    case LANES_FLAG:
      return "expect connections to be reset when a proxy worker leaves";
    case IDENTITY_FLAG:
      return "expect a connection now and then to time out as pods leave the mesh";
    case "--conntrack-tcp-be-liberal":
      return "drop the flag";
    case "--oom-score-adj":
      return `set ${flag} to 0`;
    default:
      return `set ${flag} to 0 to leave it alone`;
  }
}

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: "load the kernel module nf_conntrack",
  EROFS: "mount it read-write",
  EACCES: "run privileged enough to write it, in the host's network namespace",
  EPERM: "run privileged enough to write it, in the host's network namespace",
};

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "UNKNOWN";
}

// What a place of load needs of the machine: a processor for each side, ports and queues enough.

/** New connections by the ten thousand: from many ports, into long queues. */
export const LOAD_SYSCTLS = [
  "net.ipv4.ip_local_port_range=1024 65535",
  "net.ipv4.tcp_tw_reuse=1",
  "net.core.somaxconn=16384",
  "net.ipv4.tcp_max_syn_backlog=16384",
];
/** Of nodes, beside those. */
export const NODE_SYSCTLS = ["-net.netfilter.nf_conntrack_tcp_timeout_time_wait=1"];

/** The command line with which a program keeps to one processor. */
export function pinned(core: string, argv: readonly string[]): string[] {
  return ["taskset", "--cpu-list", core, ...argv];
}

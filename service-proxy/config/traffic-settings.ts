// Settings of the data path: how often it is programmed, which traffic is local, NodePorts,
// masquerading, connection tracking.

import type { NodePortAddresses } from "../model/node-facts.ts";
import { clusterCidrType, nodePortAddressesType } from "./network-type.ts";
import { declined, supported } from "./setting.ts";
import { booleanType, choiceType, durationType, integerType, textType } from "./value-type.ts";

const INT32_MAX = 2 ** 31 - 1;
const SECOND_MS = 1_000;

const periodType = durationType(1e-6);
const waitType = durationType(0);
const bitType = integerType({ min: 0, max: 31 });
const countType = integerType({ min: 0, max: INT32_MAX });

const PRIMARY: NodePortAddresses = { kind: "primary" };
const PER_MODE = "The section of the configured mode wins, another fills in.";

export const syncSettings = {
  proxyMode: supported({
    flag: "proxy-mode",
    field: "mode",
    type: choiceType("auto", "kernel", "userspace", "nftables", "iptables", "ipvs"),
    default: "auto",
    help:
      "auto: each Service takes the cheapest lane that keeps its promises. kernel: never a " +
      "proxy. userspace: every TCP Service through a proxy worker. kube-proxy's own modes all " +
      "mean auto.",
  }),
  nftBackend: supported({
    flag: "nft-backend",
    nodeField: "nftBackend",
    type: choiceType("netlink", "command"),
    default: "netlink",
    besideConfig: true,
    help: "How rules reach the kernel: over nfnetlink, or through the nft program.",
  }),
  syncPeriod: supported({
    flag: "sync-period",
    nodeField: "syncPeriod",
    type: periodType,
    default: 30 * SECOND_MS,
    besideConfig: true,
    help: "How long after a failed sync the next is tried; twice this without one is unhealthy.",
  }),
  minSyncPeriod: supported({
    flag: "min-sync-period",
    nodeField: "minSyncPeriod",
    type: waitType,
    default: 10,
    besideConfig: true,
    help:
      "Least time from the end of one sync to the start of the next; changes in between are " +
      "taken together. kube-proxy's default is 1s.",
  }),
  auditPeriod: supported({
    flag: "audit-period",
    nodeField: "auditPeriod",
    type: waitType,
    default: 3 * SECOND_MS,
    besideConfig: true,
    help: "How often the kernel's tables are compared with the plan and repaired; 0 turns it off.",
  }),
  iptablesSyncPeriod: supported({
    flag: "iptables-sync-period",
    field: "iptables.syncPeriod",
    type: periodType,
    default: 30 * SECOND_MS,
    zeroIsUnset: true,
    help: `As --sync-period. ${PER_MODE}`,
  }),
  iptablesMinSyncPeriod: supported({
    flag: "iptables-min-sync-period",
    field: "iptables.minSyncPeriod",
    type: waitType,
    default: 10,
    zeroIsUnset: true,
    help: "As --min-sync-period.",
  }),
  nftablesSyncPeriod: supported({
    field: "nftables.syncPeriod",
    type: periodType,
    default: 30 * SECOND_MS,
    zeroIsUnset: true,
    help: "As --sync-period.",
  }),
  nftablesMinSyncPeriod: supported({
    field: "nftables.minSyncPeriod",
    type: waitType,
    default: 10,
    zeroIsUnset: true,
    help: "As --min-sync-period.",
  }),
  ipvsSyncPeriod: supported({
    flag: "ipvs-sync-period",
    field: "ipvs.syncPeriod",
    type: periodType,
    default: 30 * SECOND_MS,
    zeroIsUnset: true,
    help: "As --sync-period, when the mode is ipvs.",
  }),
  ipvsMinSyncPeriod: supported({
    flag: "ipvs-min-sync-period",
    field: "ipvs.minSyncPeriod",
    type: waitType,
    default: 10,
    zeroIsUnset: true,
    help: "As --min-sync-period, when the mode is ipvs.",
  }),
};

export const serviceSettings = {
  detectLocalMode: supported({
    flag: "detect-local-mode",
    field: "detectLocalMode",
    type: choiceType("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"),
    default: "ClusterCIDR",
    help: "How traffic of this node's pods is told from the rest, which is masqueraded.",
  }),
  clusterCidr: supported({
    flag: "cluster-cidr",
    field: "clusterCIDR",
    type: clusterCidrType,
    default: [],
    help: "Pod prefix, or one per family. With ClusterCIDR, sources in it count as local.",
  }),
  podBridgeInterface: supported({
    flag: "pod-bridge-interface",
    field: "detectLocal.bridgeInterface",
    type: textType,
    default: "",
    help: "With BridgeInterface: the bridge whose traffic counts as local.",
  }),
  podInterfaceNamePrefix: supported({
    flag: "pod-interface-name-prefix",
    field: "detectLocal.interfaceNamePrefix",
    type: textType,
    default: "",
    help: "With InterfaceNamePrefix: how the interfaces of local pods begin.",
  }),
  nodePortAddresses: supported({
    flag: "nodeport-addresses",
    field: "nodePortAddresses",
    type: nodePortAddressesType,
    default: PRIMARY,
    help:
      "Node addresses that answer on NodePorts: primary (the Node's first address of each " +
      "family), or prefixes; all means every address but loopback.",
  }),
  masqueradeAll: supported({
    flag: "masquerade-all",
    field: "iptables.masqueradeAll",
    type: booleanType,
    default: false,
    help: "Masquerade all traffic to ClusterIPs.",
  }),
  nftablesMasqueradeAll: supported({
    field: "nftables.masqueradeAll",
    type: booleanType,
    default: false,
    help: "As --masquerade-all.",
  }),
  iptablesMasqueradeBit: supported({
    flag: "iptables-masquerade-bit",
    field: "iptables.masqueradeBit",
    type: bitType,
    default: 14,
    help: "Bit of the packet mark that asks for masquerading. Bits 11 and 12 are taken.",
  }),
  nftablesMasqueradeBit: supported({
    field: "nftables.masqueradeBit",
    type: bitType,
    default: 14,
    help: "As --iptables-masquerade-bit.",
  }),
  localhostNodePorts: declined(
    "has no effect: NodePorts are never served on loopback, because that needs route_localnet, " +
      "which opens 127.0.0.0/8 to the neighbours; connect to a node address instead",
    {
      flag: "iptables-localhost-nodeports",
      field: "iptables.localhostNodePorts",
      type: booleanType,
      default: false,
      help: "NodePorts on 127.0.0.1.",
    },
  ),
};

export const conntrackSettings = {
  conntrackMaxPerCore: supported({
    flag: "conntrack-max-per-core",
    field: "conntrack.maxPerCore",
    type: countType,
    default: 32_768,
    help: "Tracked connections per CPU, at most 1048576 in all; 0 leaves the limit alone.",
  }),
  conntrackMin: supported({
    flag: "conntrack-min",
    field: "conntrack.min",
    type: countType,
    default: 131_072,
    help: "Least number of tracked connections, whatever the number of CPUs.",
  }),
  conntrackTcpEstablished: supported({
    flag: "conntrack-tcp-timeout-established",
    field: "conntrack.tcpEstablishedTimeout",
    type: waitType,
    default: 86_400 * SECOND_MS,
    help: "Idle timeout of established TCP connections; 0 leaves it alone.",
  }),
  conntrackTcpCloseWait: supported({
    flag: "conntrack-tcp-timeout-close-wait",
    field: "conntrack.tcpCloseWaitTimeout",
    type: waitType,
    default: 3_600 * SECOND_MS,
    help: "Timeout of TCP connections in CLOSE_WAIT; 0 leaves it alone.",
  }),
  conntrackTcpBeLiberal: supported({
    flag: "conntrack-tcp-be-liberal",
    field: "conntrack.tcpBeLiberal",
    type: booleanType,
    default: false,
    help: "Track TCP packets outside the window too, instead of calling them INVALID.",
  }),
  conntrackUdp: supported({
    flag: "conntrack-udp-timeout",
    field: "conntrack.udpTimeout",
    type: waitType,
    default: 0,
    help: "Idle timeout of UDP flows without an answer; 0 leaves it alone.",
  }),
  conntrackUdpStream: supported({
    flag: "conntrack-udp-timeout-stream",
    field: "conntrack.udpStreamTimeout",
    type: waitType,
    default: 0,
    help: "Idle timeout of UDP flows with answers; 0 leaves it alone.",
  }),
};

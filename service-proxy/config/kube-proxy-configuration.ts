// KubeProxyConfiguration v1alpha1: the document a kube-proxy user already has, and the shape that
// /configz serves.

import type { DetectLocal } from "../model/local-traffic.ts";
import type { DocumentKind } from "./configuration-file.ts";
import { formatGoDuration } from "./duration.ts";
import { formatHostPort } from "./host-port.ts";
import type { NodeSettings } from "./node-settings.ts";
import { settingsByField } from "./settings-table.ts";

export const kubeProxyConfigurationKind: DocumentKind = {
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  fields: new Set(settingsByField.keys()),
};

/**
 * The settings in force, in kube-proxy's words, ready for JSON. `mode` is `nftables`, because
 * that is what programs the kernel; settings without a meaning here show their zero.
 */
export function toKubeProxyConfiguration(settings: NodeSettings) {
  const sync = {
    syncPeriod: formatGoDuration(settings.syncPeriodMs),
    minSyncPeriod: formatGoDuration(settings.minSyncPeriodMs),
  };
  const { masqueradeAll, masqueradeBit, source, detectLocal } = settings;
  return {
    apiVersion: kubeProxyConfigurationKind.apiVersion,
    kind: kubeProxyConfigurationKind.kind,
    featureGates: {},
    clientConnection: {
      kubeconfig: source.kind === "kube" ? (source.kubeconfigPath ?? "") : "",
      acceptContentTypes: "",
      contentType: "application/json",
      qps: 0,
      burst: 0,
    },
    logging: toLogging(settings),
    hostnameOverride: settings.nodeNameOverride ?? "",
    bindAddress: settings.nodeAddressOverride ?? "0.0.0.0",
    healthzBindAddress: formatListen(settings.healthzAddress),
    metricsBindAddress: formatListen(settings.metricsAddress),
    bindAddressHardFail: settings.bindAddressHardFail,
    enableProfiling: false,
    showHiddenMetricsForVersion: "",
    mode: "nftables",
    iptables: { masqueradeBit, masqueradeAll, localhostNodePorts: false, ...sync },
    ipvs: noIpvs,
    nftables: { masqueradeBit, masqueradeAll, ...sync },
    winkernel: noWindows,
    detectLocalMode: detectLocal.kind,
    detectLocal: toDetectLocal(detectLocal),
    clusterCIDR: detectLocal.kind === "ClusterCIDR" ? detectLocal.cidrs.join(",") : "",
    nodePortAddresses:
      settings.nodePortAddresses.kind === "primary"
        ? ["primary"]
        : settings.nodePortAddresses.cidrs,
    oomScoreAdj: settings.oomScoreAdj,
    conntrack: toConntrack(settings),
    configSyncPeriod: "15m0s",
    portRange: "",
    windowsRunAsService: false,
  };
}

const noIpvs = {
  syncPeriod: "0s",
  minSyncPeriod: "0s",
  scheduler: "",
  excludeCIDRs: null,
  strictARP: false,
  tcpTimeout: "0s",
  tcpFinTimeout: "0s",
  udpTimeout: "0s",
};

const noWindows = {
  networkName: "",
  sourceVip: "",
  enableDSR: false,
  rootHnsEndpointName: "",
  forwardHealthCheckVip: false,
};

function toLogging({ log }: NodeSettings) {
  const stream = { splitStream: false, infoBufferSize: "0" };
  return {
    format: log.format,
    flushFrequency: "5s",
    verbosity: log.verbosity,
    vmodule: null,
    options: { text: stream, json: stream },
  };
}

function toDetectLocal(detect: DetectLocal) {
  return {
    bridgeInterface: detect.kind === "BridgeInterface" ? detect.interfaceName : "",
    interfaceNamePrefix: detect.kind === "InterfaceNamePrefix" ? detect.prefix : "",
  };
}

function toConntrack({ conntrack }: NodeSettings) {
  return {
    maxPerCore: conntrack.maxPerCore,
    min: conntrack.minEntries,
    tcpEstablishedTimeout: formatGoDuration(conntrack.tcpEstablishedTimeoutMs),
    tcpCloseWaitTimeout: formatGoDuration(conntrack.tcpCloseWaitTimeoutMs),
    tcpBeLiberal: conntrack.tcpBeLiberal,
    udpTimeout: formatGoDuration(conntrack.udpTimeoutMs),
    udpStreamTimeout: formatGoDuration(conntrack.udpStreamTimeoutMs),
  };
}

function formatListen(address: NodeSettings["healthzAddress"]): string {
  return address === undefined ? "" : formatHostPort(address);
}

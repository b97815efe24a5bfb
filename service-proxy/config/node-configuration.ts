// NodeConfiguration innermesh.io/v1alpha1: what this node knows beyond kube-proxy, as a second
// document of the same file; and the file that --write-config-to writes.

import { stringify } from "yaml";
import type { DocumentKind } from "./configuration-file.ts";
import { formatGoDuration } from "./duration.ts";
import { toKubeProxyConfiguration } from "./kube-proxy-configuration.ts";
import { sourceType } from "./network-type.ts";
import type { NodeSettings } from "./node-settings.ts";
import { formatAuthority } from "./resolve-identity.ts";
import { settingsByNodeField } from "./settings-table.ts";

export const nodeConfigurationKind: DocumentKind = {
  apiVersion: "innermesh.io/v1alpha1",
  kind: "NodeConfiguration",
  fields: new Set(settingsByNodeField.keys()),
};

/** The settings in force that kube-proxy has no words for, ready for YAML or JSON. */
export function toNodeConfiguration(settings: NodeSettings) {
  const { source } = settings;
  return {
    apiVersion: nodeConfigurationKind.apiVersion,
    kind: nodeConfigurationKind.kind,
    source: sourceType.format(
      source.kind === "kube" ? { kind: "kube" } : { kind: "directory", path: source.path },
    ),
    nftBackend: settings.nftBackend,
    syncPeriod: formatGoDuration(settings.syncPeriodMs),
    minSyncPeriod: formatGoDuration(settings.minSyncPeriodMs),
    auditPeriod: formatGoDuration(settings.auditPeriodMs),
    proxy: {
      workers: settings.proxy.workers,
      insidePort: settings.proxy.insidePort,
      outsidePort: settings.proxy.outsidePort,
      fallback: settings.proxy.fallback,
      drainTimeout: formatGoDuration(settings.proxy.drainTimeoutMs),
      accessLogShare: settings.proxy.accessLogShare,
      via: settings.proxy.via,
      adminSocket: settings.proxy.adminSocket ?? "",
    },
    identity: {
      mode: settings.identity.mode,
      trustDomain: settings.identity.trustDomain,
      certificateAuthority: formatAuthority(settings.identity.authority),
      tokenFile: settings.identity.tokenFile,
      certificateLifetime: formatGoDuration(settings.identity.lifetimeMs),
      tunnelPort: settings.identity.tunnelPort,
      directPort: settings.identity.directPort,
    },
    networkPolicy: settings.networkPolicy,
    policyCanary: settings.policyCanary,
  };
}

/**
 * The content for --write-config-to: two YAML documents. Reading it back gives the same settings,
 * except for what no field carries: --master, the action and a server that is turned off.
 */
export function formatConfigurationFile(settings: NodeSettings): string {
  const kubeProxy = { ...toKubeProxyConfiguration(settings), mode: settings.proxyMode };
  // As it is read, where `off` alone is a boolean.
  const options = { aliasDuplicateObjects: false, version: "1.1" } as const;
  const node = toNodeConfiguration(settings);
  return `${stringify(kubeProxy, options)}---\n${stringify(node, options)}`;
}

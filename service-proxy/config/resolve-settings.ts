// Turns single values into the model of a node: what depends on several settings is decided and
// checked here.

import type { DetectLocal } from "../model/local-traffic.ts";
import { formatGoDuration } from "./duration.ts";
import type { HostPort } from "./host-port.ts";
import { resolveIdentity } from "./resolve-identity.ts";
import type { ListenChoice } from "./network-type.ts";
import type { NodeAction, NodeSettings, ProxySettings, SourceSettings } from "./node-settings.ts";
import type { Setting } from "./setting.ts";
import type { SettingProblem } from "./setting-problem.ts";
import type { SettingValues } from "./setting-values.ts";
import { settingsTable } from "./settings-table.ts";

export interface ResolvedSettings {
  readonly settings: NodeSettings;
  readonly warnings: readonly SettingProblem[];
  readonly errors: readonly SettingProblem[];
}

type Mode = (typeof settingsTable.proxyMode)["default"];

const table = settingsTable;
/** Bits of marks that lanes use: 0x800 our sockets, 0x1000 deliver locally, both: diverted. */
const TAKEN_MARK_BITS: readonly number[] = [11, 12];
/** IFNAMSIZ less the closing zero. */
const INTERFACE_NAME_LIMIT = 15;

/** Never throws. With errors, the settings hold defaults in their place and must not be run. */
export function resolveSettings(values: SettingValues): ResolvedSettings {
  const warnings: SettingProblem[] = [];
  const errors: SettingProblem[] = [];
  const mode = values.value(table.proxyMode);
  const configFilePath = values.value(table.config);
  const nodeNameOverride = resolveNodeName(values, errors);
  const bindAddress = values.value(table.bindAddress);
  const healthzAddress = resolveListen(values, table.healthzBindAddress, table.healthzPort);
  const metricsAddress = resolveListen(values, table.metricsBindAddress, table.metricsPort);
  const settings: NodeSettings = {
    action: resolveAction(values),
    source: resolveSource(values),
    proxyMode: mode === "kernel" || mode === "userspace" ? mode : "auto",
    nftBackend: values.value(table.nftBackend),
    ...resolvePeriods(values, mode, errors),
    auditPeriodMs: values.value(table.auditPeriod),
    detectLocal: resolveDetectLocal(values, errors),
    nodePortAddresses: values.value(table.nodePortAddresses),
    masqueradeAll: byMode(values, mode, {
      iptables: table.masqueradeAll,
      nftables: table.nftablesMasqueradeAll,
    }),
    masqueradeBit: resolveMasqueradeBit(values, mode, errors),
    bindAddressHardFail: values.value(table.bindAddressHardFail),
    proxy: resolveProxy(values, errors),
    identity: resolveIdentity(values, errors),
    networkPolicy: values.value(table.networkPolicy),
    policyCanary: values.value(table.policyCanary),
    conntrack: resolveConntrack(values),
    oomScoreAdj: values.value(table.oomScoreAdj),
    log: { verbosity: values.value(table.verbosity), format: values.value(table.logFormat) },
    ...(configFilePath === "" ? {} : { configFilePath }),
    ...(nodeNameOverride === "" ? {} : { nodeNameOverride }),
    ...(isUnspecified(bindAddress) ? {} : { nodeAddressOverride: bindAddress }),
    ...(healthzAddress === undefined ? {} : { healthzAddress }),
    ...(metricsAddress === undefined ? {} : { metricsAddress }),
  };
  checkMode(values, mode, { warnings, errors });
  checkNodePortAddresses(values, settings, warnings);
  return { settings, warnings, errors };
}

function resolveAction(values: SettingValues): NodeAction {
  if (values.value(table.help)) return { kind: "help" };
  if (values.value(table.version) !== "false") return { kind: "version" };
  const path = values.value(table.writeConfigTo);
  if (path !== "") return { kind: "write-config", path };
  if (values.value(table.cleanup)) return { kind: "cleanup" };
  return { kind: values.value(table.initOnly) ? "init-only" : "run" };
}

function resolveSource(values: SettingValues): SourceSettings {
  const source = values.value(table.source);
  if (source.kind === "directory") return source;
  const kubeconfigPath = values.value(table.kubeconfig);
  const masterUrl = values.value(table.master);
  return {
    kind: "kube",
    ...(kubeconfigPath === "" ? {} : { kubeconfigPath }),
    ...(masterUrl === "" ? {} : { masterUrl }),
  };
}

function resolveNodeName(values: SettingValues, errors: SettingProblem[]): string {
  const text = values.value(table.hostnameOverride);
  const name = text.trim().toLowerCase();
  if (text !== "" && name === "") {
    errors.push({
      where: values.where(table.hostnameOverride),
      message: "is blank; name the Node",
    });
  }
  return name;
}

/** The section of the configured mode wins; the other one fills in. */
function byMode<T>(
  values: SettingValues,
  mode: Mode,
  sections: { iptables: Setting<T>; nftables: Setting<T>; ipvs?: Setting<T> },
): T {
  const { iptables, nftables, ipvs } = sections;
  const isOurs = mode === "auto" || mode === "kernel" || mode === "userspace";
  const nftFirst = mode === "nftables" || (isOurs && isOwn(values));
  const order = nftFirst ? [nftables, iptables] : [iptables, nftables];
  const all = mode === "ipvs" && ipvs !== undefined ? [ipvs, ...order] : order;
  return (
    all.map((setting) => values.given(setting)).find((v) => v !== undefined) ?? iptables.default
  );
}

/** True when auto or kernel was asked for by name; an empty mode is kube-proxy's iptables. */
function isOwn(values: SettingValues): boolean {
  return values.given(table.proxyMode) !== undefined;
}

function resolveProxy(values: SettingValues, errors: SettingProblem[]): ProxySettings {
  const insidePort = values.value(table.proxyInsidePort);
  const outsidePort = values.value(table.proxyOutsidePort);
  if (insidePort === outsidePort) {
    const where = values.where(table.proxyOutsidePort);
    errors.push({ where, message: `${outsidePort} is the inside port as well; choose another` });
  }
  const accessLogShare = values.value(table.accessLogShare);
  if (accessLogShare < 0 || accessLogShare > 1) {
    const where = values.where(table.accessLogShare);
    errors.push({ where, message: `${accessLogShare} is no share; use 0 to 1` });
  }
  const adminSocket = values.value(table.adminSocket);
  return {
    workers: values.value(table.proxyWorkers),
    insidePort,
    outsidePort,
    fallback: values.value(table.proxyFallback),
    drainTimeoutMs: values.value(table.proxyDrainTimeout),
    accessLogShare,
    via: values.value(table.proxyVia),
    ...(adminSocket === "" ? {} : { adminSocket }),
  };
}

function resolvePeriods(values: SettingValues, mode: Mode, errors: SettingProblem[]) {
  const syncPeriodMs =
    values.given(table.syncPeriod) ??
    byMode(values, mode, {
      iptables: table.iptablesSyncPeriod,
      nftables: table.nftablesSyncPeriod,
      ipvs: table.ipvsSyncPeriod,
    });
  const minSyncPeriodMs =
    values.given(table.minSyncPeriod) ??
    byMode(values, mode, {
      iptables: table.iptablesMinSyncPeriod,
      nftables: table.nftablesMinSyncPeriod,
      ipvs: table.ipvsMinSyncPeriod,
    });
  if (minSyncPeriodMs <= syncPeriodMs) return { syncPeriodMs, minSyncPeriodMs };
  errors.push({
    where: "--min-sync-period",
    message:
      `${formatGoDuration(minSyncPeriodMs)} is longer than the sync period of ` +
      `${formatGoDuration(syncPeriodMs)}; lower minSyncPeriod or raise syncPeriod`,
  });
  return { syncPeriodMs, minSyncPeriodMs: syncPeriodMs };
}

function resolveDetectLocal(values: SettingValues, errors: SettingProblem[]): DetectLocal {
  const kind = values.value(table.detectLocalMode);
  switch (kind) {
    case "ClusterCIDR":
      return { kind, cidrs: values.value(table.clusterCidr) };
    case "NodeCIDR":
      return { kind };
    case "BridgeInterface":
      return { kind, interfaceName: interfaceText(values, table.podBridgeInterface, errors) };
    case "InterfaceNamePrefix":
      return { kind, prefix: interfaceText(values, table.podInterfaceNamePrefix, errors) };
    default:
      return kind satisfies never;
  }
}

function interfaceText(
  values: SettingValues,
  setting: Setting<string>,
  errors: SettingProblem[],
): string {
  const text = values.value(setting);
  const length = Buffer.byteLength(text);
  if (length === 0 || length > INTERFACE_NAME_LIMIT || /[\s/]/.test(text)) {
    const mode = values.value(table.detectLocalMode);
    const quoted = JSON.stringify(text);
    errors.push({
      where: values.where(setting),
      message: `${quoted} names no interface; ${mode} needs 1 to ${INTERFACE_NAME_LIMIT} bytes`,
    });
  }
  return text;
}

function resolveMasqueradeBit(values: SettingValues, mode: Mode, errors: SettingProblem[]): number {
  const sections = { iptables: table.iptablesMasqueradeBit, nftables: table.nftablesMasqueradeBit };
  const bit = byMode(values, mode, sections);
  if (!TAKEN_MARK_BITS.includes(bit)) return bit;
  const nftSet = values.given(sections.nftables) === bit;
  errors.push({
    where: values.where(nftSet ? sections.nftables : sections.iptables),
    message: `bit ${bit} belongs to another mark of this node; use another, such as 14`,
  });
  return sections.iptables.default;
}

function resolveConntrack(values: SettingValues): NodeSettings["conntrack"] {
  return {
    maxPerCore: values.value(table.conntrackMaxPerCore),
    minEntries: values.value(table.conntrackMin),
    tcpEstablishedTimeoutMs: values.value(table.conntrackTcpEstablished),
    tcpCloseWaitTimeoutMs: values.value(table.conntrackTcpCloseWait),
    tcpBeLiberal: values.value(table.conntrackTcpBeLiberal),
    udpTimeoutMs: values.value(table.conntrackUdp),
    udpStreamTimeoutMs: values.value(table.conntrackUdpStream),
  };
}

function resolveListen(
  values: SettingValues,
  setting: Setting<ListenChoice>,
  portSetting: Setting<number>,
): HostPort | undefined {
  const port = values.value(portSetting);
  const choice = values.given(setting);
  if (choice?.kind === "off" || port === 0) return undefined;
  if (choice !== undefined) return { host: choice.address.host, port: choice.address.port ?? port };
  const { default: fallback } = setting;
  if (fallback.kind === "off") return undefined;
  // As in kube-proxy, --healthz-port alone moves nothing: the default address names its port.
  const address = { host: fallback.address.host, port: fallback.address.port ?? port };
  if (!values.value(table.bindAddress).includes(":")) return address;
  return { ...address, host: address.host === "0.0.0.0" ? "::" : "::1" };
}

function isUnspecified(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

function checkMode(
  values: SettingValues,
  mode: Mode,
  to: { readonly warnings: SettingProblem[]; readonly errors: SettingProblem[] },
): void {
  const where = values.where(table.proxyMode);
  if (mode !== "auto" && mode !== "kernel" && mode !== "userspace") {
    const unsetPorts = mode !== "nftables" && values.given(table.nodePortAddresses) === undefined;
    const note =
      "; unlike in that mode, NodePorts answer on the Node's primary addresses only, unless " +
      "nodePortAddresses says otherwise";
    const message = `${mode} means auto here: nftables programs the kernel`;
    to.warnings.push({ where, message: `${message}${unsetPorts ? note : ""}` });
  }
}

function checkNodePortAddresses(
  values: SettingValues,
  { nodePortAddresses }: NodeSettings,
  warnings: SettingProblem[],
): void {
  if (nodePortAddresses.kind === "primary") return;
  const { cidrs } = nodePortAddresses;
  const where = values.where(table.nodePortAddresses);
  if (cidrs.some((cidr) => cidr.startsWith("127.") || cidr === "::1/128")) {
    const message = "names loopback, where NodePorts are never served; that entry has no effect";
    warnings.push({ where, message });
  }
  const open = cidrs.every((cidr) => cidr.includes(":")) ? "IPv4" : "IPv6";
  if (open === "IPv4" || !cidrs.some((cidr) => cidr.includes(":"))) {
    const message = `names no ${open} prefix, so NodePorts answer on every ${open} address`;
    warnings.push({ where, message });
  }
}

// Settings of the process itself: what to do, where objects come from, servers, logging.

import { addressType, type ListenChoice, listenType, sourceType } from "./network-type.ts";
import { declined, ignored, supported } from "./setting.ts";
import {
  anyType,
  booleanType,
  choiceType,
  decimalType,
  durationType,
  integerType,
  switchesType,
  textType,
} from "./value-type.ts";

const INT32_MAX = 2 ** 31 - 1;
const portType = integerType({ min: 0, max: 65_535 });

const OWN_CLIENT = "The node keeps one watch per kind and asks for nothing else to throttle.";
const DIRECT_LOG = "Lines are written at once, unbuffered.";
const LOG_STREAM = "has no effect: all lines go to standard error in one stream";

const HEALTHZ: ListenChoice = { kind: "at", address: { host: "0.0.0.0", port: 10_256 } };
const METRICS: ListenChoice = { kind: "at", address: { host: "127.0.0.1", port: 10_249 } };

export const actionSettings = {
  config: supported({
    flag: "config",
    type: textType,
    default: "",
    besideConfig: true,
    help:
      "Configuration file: a KubeProxyConfiguration, and optionally a NodeConfiguration as " +
      "another document. Flags it has fields for are then ignored; a change ends the process.",
  }),
  writeConfigTo: supported({
    flag: "write-config-to",
    type: textType,
    default: "",
    besideConfig: true,
    help: "Write the settings in force to this file and exit.",
  }),
  cleanup: supported({
    flag: "cleanup",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Remove our tables and what kube-proxy may have left, then exit.",
  }),
  initOnly: supported({
    flag: "init-only",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Do only what needs full root (sysctls, OOM score), then exit.",
  }),
  version: supported({
    flag: "version",
    type: { ...anyType, name: "boolean", valueOptional: true },
    default: "false",
    besideConfig: true,
    help: "Print the version and exit.",
  }),
  help: supported({
    flag: "help",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Print this help and exit; -h for short.",
  }),
};

export const sourceSettings = {
  source: supported({
    flag: "source",
    nodeField: "source",
    type: sourceType,
    default: { kind: "kube" },
    besideConfig: true,
    help: "Where objects come from: an API server, or a directory of YAML that is watched.",
  }),
  kubeconfig: supported({
    flag: "kubeconfig",
    field: "clientConnection.kubeconfig",
    type: textType,
    default: "",
    defaultNote: "in-cluster",
    help: "Kubeconfig file for the API server.",
  }),
  master: supported({
    flag: "master",
    type: textType,
    default: "",
    besideConfig: true,
    help: "URL of the API server; wins over the kubeconfig's.",
  }),
  hostnameOverride: supported({
    flag: "hostname-override",
    field: "hostnameOverride",
    type: textType,
    default: "",
    defaultNote: "hostname",
    besideConfig: true,
    help: "Name of this Node. It must match, or no endpoint counts as local.",
  }),
  kubeApiContentType: ignored("Objects are read as JSON.", {
    flag: "kube-api-content-type",
    field: "clientConnection.contentType",
    type: textType,
    default: "application/vnd.kubernetes.protobuf",
    help: "Wire format asked of the API server.",
  }),
  acceptContentTypes: ignored("Objects are read as JSON.", {
    field: "clientConnection.acceptContentTypes",
    type: textType,
    default: "",
    help: "Wire formats accepted from the API server.",
  }),
  kubeApiQps: ignored(OWN_CLIENT, {
    flag: "kube-api-qps",
    field: "clientConnection.qps",
    type: decimalType,
    default: 5,
    zeroIsUnset: true,
    help: "Requests per second to the API server.",
  }),
  kubeApiBurst: ignored(OWN_CLIENT, {
    flag: "kube-api-burst",
    field: "clientConnection.burst",
    type: integerType({ min: 0, max: INT32_MAX }),
    default: 10,
    zeroIsUnset: true,
    help: "Requests to the API server in one burst.",
  }),
  configSyncPeriod: ignored("Watches carry their own deadline, and caches need no resync.", {
    flag: "config-sync-period",
    field: "configSyncPeriod",
    type: durationType(1e-6),
    default: 900_000,
    zeroIsUnset: true,
    help: "How often cached objects are handed out again.",
  }),
};

export const serverSettings = {
  bindAddress: supported({
    flag: "bind-address",
    field: "bindAddress",
    type: addressType,
    default: "0.0.0.0",
    help:
      "This node's primary address, when the Node object is not to be believed. Nothing binds " +
      "to it; an IPv6 address moves the two servers' defaults to [::]:10256 and [::1]:10249.",
  }),
  healthzBindAddress: supported({
    flag: "healthz-bind-address",
    field: "healthzBindAddress",
    type: listenType,
    default: HEALTHZ,
    help: "Where /healthz and /livez are served. An empty flag turns them off.",
  }),
  metricsBindAddress: supported({
    flag: "metrics-bind-address",
    field: "metricsBindAddress",
    type: listenType,
    default: METRICS,
    help: "Where /metrics, /proxyMode and /configz are served. An empty flag turns them off.",
  }),
  bindAddressHardFail: supported({
    flag: "bind-address-hard-fail",
    field: "bindAddressHardFail",
    type: booleanType,
    default: false,
    help: "Exit when one of the two servers cannot bind, instead of trying again every 5 s.",
  }),
  healthzPort: declined("is deprecated; use --healthz-bind-address", {
    flag: "healthz-port",
    type: portType,
    default: 10_256,
    help: "0 turns the health server off; else the port for an address that names none.",
  }),
  metricsPort: declined("is deprecated; use --metrics-bind-address", {
    flag: "metrics-port",
    type: portType,
    default: 10_249,
    help: "0 turns the metrics server off; else the port for an address that names none.",
  }),
  profiling: declined("has no effect: profile with node's own inspector", {
    flag: "profiling",
    field: "enableProfiling",
    type: booleanType,
    default: false,
    help: "Go profiles under /debug/pprof.",
  }),
  showHiddenMetrics: ignored("No series is hidden.", {
    flag: "show-hidden-metrics-for-version",
    field: "showHiddenMetricsForVersion",
    type: textType,
    default: "",
    help: "Show series that a release hid.",
  }),
  oomScoreAdj: supported({
    flag: "oom-score-adj",
    field: "oomScoreAdj",
    type: integerType({ min: -1_000, max: 1_000 }),
    default: -999,
    help: "Keeps the kernel's OOM killer away. Failing to set it is a warning only.",
  }),
  featureGates: declined("has no effect: no behaviour here hangs on a Kubernetes feature gate", {
    flag: "feature-gates",
    field: "featureGates",
    type: switchesType,
    default: new Map<string, boolean>(),
    help: "Kubernetes feature gates.",
  }),
};

export const loggingSettings = {
  verbosity: supported({
    flag: "v",
    field: "logging.verbosity",
    type: integerType({ min: 0, max: INT32_MAX }),
    default: 0,
    besideConfig: true,
    help: "Log verbosity in klog's sense: 4 and more adds debug lines.",
  }),
  logFormat: supported({
    flag: "logging-format",
    field: "logging.format",
    type: choiceType("text", "json"),
    default: "text",
    besideConfig: true,
    help: "One line of text or one JSON object per event, on standard error.",
  }),
  logFlushFrequency: ignored(DIRECT_LOG, {
    flag: "log-flush-frequency",
    field: "logging.flushFrequency",
    type: anyType,
    default: "5s",
    besideConfig: true,
    help: "Longest time between log flushes.",
  }),
  vmodule: declined("has no effect: verbosity cannot be set per source file; use -v", {
    flag: "vmodule",
    field: "logging.vmodule",
    type: anyType,
    default: "",
    besideConfig: true,
    help: "Verbosity by source file.",
  }),
  logTextSplitStream: declined(LOG_STREAM, {
    flag: "log-text-split-stream",
    field: "logging.options.text.splitStream",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Errors on standard error, the rest on standard output (text).",
  }),
  logTextInfoBufferSize: ignored(DIRECT_LOG, {
    flag: "log-text-info-buffer-size",
    field: "logging.options.text.infoBufferSize",
    type: anyType,
    default: "0",
    besideConfig: true,
    help: "Log buffer (text).",
  }),
  logJsonSplitStream: declined(LOG_STREAM, {
    flag: "log-json-split-stream",
    field: "logging.options.json.splitStream",
    type: booleanType,
    default: false,
    besideConfig: true,
    help: "Errors on standard error, the rest on standard output (JSON).",
  }),
  logJsonInfoBufferSize: ignored(DIRECT_LOG, {
    flag: "log-json-info-buffer-size",
    field: "logging.options.json.infoBufferSize",
    type: anyType,
    default: "0",
    besideConfig: true,
    help: "Log buffer (JSON).",
  }),
};

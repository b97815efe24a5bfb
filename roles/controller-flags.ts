// The flags of the controller, once: its command line, its help and docs/flags.md are made of it.

export interface ControllerFlag {
  readonly type: "string" | "boolean" | "number";
  /** Undefined: none. */
  readonly default?: string | boolean | number;
  readonly describe: string;
  readonly requiresArg?: true;
}

export const CONTROLLER_FLAGS = {
  kubeconfig: {
    type: "string",
    requiresArg: true,
    describe: "File that says where the API server is; without it, what a pod is given",
  },
  "leader-elect": {
    type: "boolean",
    default: true,
    describe: "Write only while holding the lease; false is for exactly one replica",
  },
  "leader-election-namespace": {
    type: "string",
    requiresArg: true,
    default: "innermesh-system",
    describe: "Where the lease innermesh-controller is",
  },
  identity: {
    type: "string",
    requiresArg: true,
    default: "none",
    describe: "As of the nodes; unless none, this is the certificate authority of their pods",
  },
  "trust-domain": {
    type: "string",
    requiresArg: true,
    default: "cluster.local",
    describe: "First part of every identity that is signed",
  },
  "ca-bind-address": {
    type: "string",
    requiresArg: true,
    default: "0.0.0.0:15012",
    describe: "Address and port of the signing API",
  },
  "ca-directory": {
    type: "string",
    requiresArg: true,
    describe:
      "Directory with tls.crt, tls.key and ca.crt of a CA of yours, mounted; without it, " +
      "Secret innermesh-ca-user may hold them",
  },
  "ca-callers": {
    type: "string",
    requiresArg: true,
    default: "kube-system/innermesh-node",
    describe: "ServiceAccounts that may ask for certificates: node agents; with commas between",
  },
  "ca-audiences": {
    type: "string",
    requiresArg: true,
    default: "innermesh-ca",
    describe: "What their tokens must have been issued for, one of these; with commas between",
  },
  "certificate-lifetime": {
    type: "string",
    requiresArg: true,
    default: "24h",
    describe: "How long certificates last that ask for nothing less, 10m to 168h",
  },
  "root-generation": {
    type: "number",
    requiresArg: true,
    default: 0,
    describe: "One more than before rotates a root that was made here: add, switch, remove",
  },
  "root-spread": {
    type: "string",
    requiresArg: true,
    default: "5m",
    describe: "How long nodes may take to learn of a new root, before it signs",
  },
  "metrics-bind-address": {
    type: "string",
    requiresArg: true,
    default: "0.0.0.0:15014",
    describe: "Address and port of /metrics, /healthz and /readyz; empty: none",
  },
  v: {
    type: "number",
    requiresArg: true,
    default: 0,
    describe: "Log verbosity in klog's sense: 4 and more adds debug lines",
  },
} as const satisfies Readonly<Record<string, ControllerFlag>>;

/** Markdown: the flags in the order of the table. */
export function formatControllerFlags(): string {
  const flags: Readonly<Record<string, ControllerFlag>> = CONTROLLER_FLAGS;
  const rows = Object.entries(flags).map(([name, { type, default: value, describe }]) => {
    const shown = value === undefined ? "" : `\`${value}\``;
    return `| \`--${name}\` | ${type} | ${shown} | ${describe}. |\n`;
  });
  return `| Flag | Type | Default | Meaning |\n|---|---|---|---|\n${rows.join("")}`;
}

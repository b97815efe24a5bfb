// The DaemonSet: one agent a node, in the node's network, with as little else as it can do with.

import { labels, NAMESPACE, NODE } from "./access.ts";
import { nodeCapabilities } from "./capabilities.ts";
import { CA } from "./ca.ts";
import {
  ADMIN_SOCKET,
  API_SERVER,
  CONFIG_FILE,
  DRAIN_SECONDS,
  TOKEN_FOLDER,
} from "./configuration.ts";
import type { Manifest } from "./manifest.ts";
import type { Lookup } from "./values.ts";

const CONFIG_FOLDER = "/etc/innermesh";
const TUNNEL_LABEL = "innermesh.io/tunnel";
const HEALTH_PORT = 10_256;
/** To end in order, after the last connection or the drain limit. */
const SPARE_SECONDS = 30;

const configMount = { name: "config", mountPath: CONFIG_FOLDER, readOnly: true };

/** The agent's Pods and how they are replaced. */
export function daemonSetManifest(value: Lookup): Manifest {
  const image = {
    image: `${value("image.repository")}:${value("image.tag")}`,
    imagePullPolicy: value("image.pullPolicy"),
  };
  return {
    name: "daemon-set",
    object: {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: NODE, namespace: NAMESPACE, labels },
      spec: {
        selector: { matchLabels: { "app.kubernetes.io/name": NODE } },
        updateStrategy: {
          type: "RollingUpdate",
          rollingUpdate: { maxUnavailable: 0, maxSurge: value("maxSurge") },
        },
        template: {
          metadata: {
            labels: { ...labels, "k8s-app": "kube-proxy", [TUNNEL_LABEL]: value("identity") },
          },
          spec: {
            hostNetwork: true,
            dnsPolicy: "Default",
            priorityClassName: "system-node-critical",
            nodeSelector: { "kubernetes.io/os": "linux" },
            tolerations: [{ operator: "Exists" }],
            serviceAccountName: NODE,
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            terminationGracePeriodSeconds: DRAIN_SECONDS + SPARE_SECONDS,
            securityContext: { seccompProfile: { type: "RuntimeDefault" } },
            initContainers: [sysctlContainer(image)],
            containers: [agentContainer(image, value)],
            volumes,
          },
        },
      },
    },
    comments,
  };
}

type Image = { readonly image: string; readonly imagePullPolicy: string };

/** Runs to its end before the agent starts. */
function sysctlContainer(image: Image) {
  return {
    name: "sysctls",
    ...image,
    args: ["node", `--config=${CONFIG_FOLDER}/${CONFIG_FILE}`, "--init-only"],
    securityContext: { privileged: true, readOnlyRootFilesystem: true },
    volumeMounts: [configMount],
  };
}

function agentContainer(image: Image, value: Lookup) {
  return {
    name: "node",
    ...image,
    args: ["node", `--config=${CONFIG_FOLDER}/${CONFIG_FILE}`, "--hostname-override=$(NODE_NAME)"],
    env: [
      { name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      addressEnvironment("KUBERNETES_SERVICE_HOST", "host"),
      addressEnvironment("KUBERNETES_SERVICE_PORT", "port"),
    ],
    securityContext: {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: nodeCapabilities.map(({ name }) => name) },
    },
    resources: { requests: { cpu: value("resources.cpu"), memory: value("resources.memory") } },
    startupProbe: {
      exec: { command: ["sh", "-c", `[ -S ${ADMIN_SOCKET} ]`] },
      periodSeconds: 2,
      failureThreshold: 150,
    },
    livenessProbe: probe("/livez", { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    readinessProbe: probe("/healthz", { periodSeconds: 5, timeoutSeconds: 5 }),
    volumeMounts: [
      configMount,
      {
        name: "api-access",
        mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
        readOnly: true,
      },
      { name: "ca-token", mountPath: TOKEN_FOLDER, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
      { name: "run", mountPath: "/run/innermesh" },
    ],
  };
}

const volumes = [
  { name: "config", configMap: { name: NODE } },
  { name: "tmp", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
  { name: "run", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
  {
    name: "ca-token",
    projected: {
      sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3600, audience: CA } }],
    },
  },
  {
    name: "api-access",
    projected: {
      sources: [
        { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      ],
    },
  },
];

const pod = "spec.template.spec";
const agent = `${pod}.containers.0`;

const comments = {
  "spec.updateStrategy.rollingUpdate.maxUnavailable":
    " The new agent of a node asks the old one to hand over, and no connection is refused\n" +
    " meanwhile. No container declares a port: the scheduler would keep the second one away.",
  "spec.template.metadata.labels.k8s-app": " What looks for kube-proxy's Pods finds these.",
  "spec.template.metadata.labels":
    ` Unless ${TUNNEL_LABEL} is none, other nodes reach enrolled pods here by\n` + " tunnel only.",
  [`${pod}.hostNetwork`]: " It programs the node's own network.",
  [`${pod}.dnsPolicy`]: " Cluster DNS is behind a Service: not there yet on a fresh node.",
  [`${pod}.tolerations`]: " A node without Services is of no use to anybody.",
  [`${pod}.terminationGracePeriodSeconds`]:
    ` proxy.drainTimeout and ${SPARE_SECONDS} s more; without connections in a proxy lane it\n` +
    " ends at once.",
  [`${pod}.initContainers`]:
    " Conntrack limits live in /proc/sys and /sys, which containers get read-only. This\n" +
    " one ends before the agent starts, which finds them set and needs no more than below.",
  [`${agent}.env.1`]: ` Without ConfigMap ${API_SERVER}: the ClusterIP of Service kubernetes.`,
  [`${agent}.securityContext.runAsUser`]: " Kubernetes gives capabilities to root alone.",
  ...Object.fromEntries(
    nodeCapabilities.map(({ why }, index) => [
      `${agent}.securityContext.capabilities.add.${index}`,
      ` ${why}.`,
    ]),
  ),
  [`${agent}.startupProbe`]:
    " Five minutes to start. In an update port 10256 is at first the old Pod's; this socket is\n" +
    " this Pod's own, there once it serves the node.",
  [`${agent}.livenessProbe`]: " Whether changes get through.",
  [`${agent}.resources`]: " No limits: a throttled or killed agent harms the whole node.",
};

/** From a ConfigMap that need not be there; the kubelet's own value stands then. */
function addressEnvironment(name: string, key: string) {
  return { name, valueFrom: { configMapKeyRef: { name: API_SERVER, key, optional: true } } };
}

function probe(path: string, rest: Readonly<Record<string, number>>) {
  return { httpGet: { path, port: HEALTH_PORT }, ...rest };
}

// All manifests of the controller role, in the order in which they apply: its Deployment needs no
// host, no root and no capability.

import { CA_PORT } from "./ca.ts";
import {
  CONTROLLER,
  CONTROLLER_NAMESPACE,
  controllerAccessManifests,
  controllerLabels,
} from "./controller-access.ts";
import type { Manifest } from "./manifest.ts";
import type { Lookup } from "./values.ts";

const PORT = 15_014;
/** Any but root; the image has no users of its own. */
const USER = 65_532;
const selector = { matchLabels: { "app.kubernetes.io/name": CONTROLLER } };

/** @param value what stands in for each value: its default, or a template */
export function controllerManifests(value: Lookup): readonly Manifest[] {
  return [...controllerAccessManifests, deploymentManifest(value)];
}

function deploymentManifest(value: Lookup): Manifest {
  return {
    name: "controller-deployment",
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: CONTROLLER, namespace: CONTROLLER_NAMESPACE, labels: controllerLabels },
      spec: {
        replicas: 2,
        selector,
        template: {
          metadata: { labels: controllerLabels },
          spec: {
            nodeSelector: { "kubernetes.io/os": "linux" },
            serviceAccountName: CONTROLLER,
            automountServiceAccountToken: true,
            enableServiceLinks: false,
            terminationGracePeriodSeconds: 15,
            topologySpreadConstraints: [
              {
                topologyKey: "kubernetes.io/hostname",
                maxSkew: 1,
                whenUnsatisfiable: "ScheduleAnyway",
                labelSelector: selector,
              },
            ],
            securityContext: {
              runAsNonRoot: true,
              runAsUser: USER,
              runAsGroup: USER,
              seccompProfile: { type: "RuntimeDefault" },
            },
            containers: [controllerContainer(value)],
          },
        },
      },
    },
    comments: {
      "spec.replicas": " One leads and writes; the other has read everything and waits.",
      "spec.template.spec.terminationGracePeriodSeconds": " To give the lease back.",
    },
  };
}

function controllerContainer(value: Lookup) {
  return {
    name: "controller",
    image: `${value("image.repository")}:${value("image.tag")}`,
    imagePullPolicy: value("image.pullPolicy"),
    args: [
      "controller",
      `--leader-election-namespace=${CONTROLLER_NAMESPACE}`,
      `--identity=${value("identity")}`,
      `--trust-domain=${value("trustDomain")}`,
    ],
    ports: [
      { name: "metrics", containerPort: PORT, protocol: "TCP" },
      { name: "ca", containerPort: CA_PORT, protocol: "TCP" },
    ],
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    resources: {
      requests: { cpu: value("controller.cpu"), memory: value("controller.memory") },
    },
    livenessProbe: probe("/healthz", { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    readinessProbe: probe("/readyz", { periodSeconds: 5, timeoutSeconds: 5 }),
  };
}

function probe(path: string, rest: Readonly<Record<string, number>>) {
  return { httpGet: { path, port: "metrics" }, ...rest };
}

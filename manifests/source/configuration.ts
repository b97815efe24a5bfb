// The node agent's configuration file, and the API server's address where it has to be given.

import { stringify } from "yaml";

import { labels, NAMESPACE, NODE } from "./access.ts";
import type { Manifest } from "./manifest.ts";
import type { Lookup } from "./values.ts";

/** How long connections through proxy workers may go on after their agent was replaced. */
export const DRAIN_SECONDS = 600;

/** Name of the ConfigMap that may hold `host` and `port` of the API server. */
export const API_SERVER = "innermesh-api-server";
/** Where the token for the certificate authority is mounted. */
export const TOKEN_FOLDER = "/var/run/secrets/innermesh-ca";
export const CONFIG_FILE = "config.yaml";
/** Made by the agent once it serves the node: the DaemonSet looks for it. */
export const ADMIN_SOCKET = "/run/innermesh/node.sock";

/** ConfigMaps: the file, and the address that only installations that need it have. */
export function configurationManifests(value: Lookup): readonly Manifest[] {
  return [
    {
      name: "config-map",
      object: {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: NODE, namespace: NAMESPACE, labels },
        data: { [CONFIG_FILE]: configurationFile(value) },
      },
      comments: {
        data: " A kube-proxy user's own file works here too. The agent ends when it changes.",
      },
    },
    {
      name: "api-server",
      onlyWith: "apiServer.host",
      object: {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: API_SERVER, namespace: NAMESPACE, labels },
        data: { host: value("apiServer.host"), port: value("apiServer.port") },
      },
      comments: {},
    },
  ];
}

function configurationFile(value: Lookup): string {
  const kubeProxy = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    clusterCIDR: value("clusterCIDR"),
    detectLocalMode: value("detectLocalMode"),
    healthzBindAddress: "0.0.0.0:10256",
    metricsBindAddress: value("metricsBindAddress"),
    // The kubelet gives it to node-critical pods; lowering it takes CAP_SYS_RESOURCE.
    oomScoreAdj: -997,
  };
  const node = {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "NodeConfiguration",
    proxy: { drainTimeout: `${DRAIN_SECONDS}s`, adminSocket: ADMIN_SOCKET },
    identity: {
      mode: value("identity"),
      trustDomain: value("trustDomain"),
      tokenFile: `${TOKEN_FOLDER}/token`,
    },
    networkPolicy: value("networkPolicy"),
  };
  return `${stringify(kubeProxy)}---\n${stringify(node)}`;
}

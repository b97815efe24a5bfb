// How the CLI gets at a cluster. What the node role's small client refuses (exec plugins, auth
// providers), @kubernetes/client-node does here: people's kubeconfigs use it, DaemonSets do not.

import { homedir } from "node:os";
import { join } from "node:path";
import {
  type ClientConfig,
  inClusterConfig,
  KubeconfigError,
  loadKubeconfig,
} from "../lib/kube/kubeconfig.ts";
import { Unreachable } from "./exit.ts";

/** The kubeconfig that kubectl would use: --kubeconfig, $KUBECONFIG, ~/.kube/config. */
export function kubeconfigPath(given: string | undefined): string {
  const fromEnv = process.env["KUBECONFIG"]?.split(":")[0];
  return given ?? (fromEnv === undefined || fromEnv === "" ? defaultPath() : fromEnv);
}

/** @throws Unreachable with what is missing */
export async function clientConfig(source: {
  readonly kubeconfigPath?: string;
}): Promise<ClientConfig> {
  if (source.kubeconfigPath === undefined && process.env["KUBERNETES_SERVICE_HOST"]) {
    return inClusterConfig(process.env);
  }
  const path = kubeconfigPath(source.kubeconfigPath);
  try {
    return await loadKubeconfig(path);
  } catch (error) {
    if (!(error instanceof KubeconfigError)) throw error;
    return loadWithPlugins(path, error);
  }
}

async function loadWithPlugins(path: string, refusal: KubeconfigError): Promise<ClientConfig> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    config.loadFromFile(path);
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw refusal;
    const options: Parameters<typeof config.applyToHTTPSOptions>[0] = {};
    await config.applyToHTTPSOptions(options);
    const header = options.headers as Record<string, string> | undefined;
    const bearer = header?.["Authorization"]?.replace(/^Bearer /, "");
    const { ca, cert, key } = options;
    return {
      server: new URL(cluster.server),
      ...(ca === undefined ? {} : { ca: String(ca) }),
      ...(cert && key ? { clientCertificate: { cert: String(cert), key: String(key) } } : {}),
      token: bearer === undefined ? { kind: "none" } : { kind: "static", token: bearer },
      insecureSkipTlsVerify: cluster.skipTLSVerify,
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Unreachable(`Cannot use kubeconfig "${path}": ${why}`, { cause: error });
  }
}

function defaultPath(): string {
  return join(homedir(), ".kube", "config");
}

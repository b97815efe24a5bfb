// A control plane for real kubelets: it schedules, looks after nodes, gives pods what they mount,
// and may run commands in them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ensureBinaries } from "./binaries.ts";
import { createAuthority, issueClient } from "./certificates.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type Daemon, startDaemon } from "./daemon.ts";

const CONTROLLERS = [
  "deployment-controller",
  "endpointslice-controller",
  "garbage-collector-controller",
  "namespace-controller",
  "node-lifecycle-controller",
  "pod-garbage-collector-controller",
  "replicaset-controller",
  "root-ca-certificate-publisher-controller",
  "serviceaccount-controller",
  "statefulset-controller",
];

export interface RealControlPlane extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  /** PEM file of the authority that signed the API server's certificate for kubelets. */
  readonly kubeletClientAuthority: string;
}

export interface RealControlPlaneOptions {
  /** Address of this machine that nodes reach. */
  readonly bindAddress: string;
  /** The primary family first. */
  readonly serviceCidrs: readonly string[];
  /** Where a folder of keys may stand; the caller removes it, even after a crash. */
  readonly directory: string;
}

/**
 * Starts etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
 * @throws as `startControlPlane`
 */
export async function startRealControlPlane(
  options: RealControlPlaneOptions,
): Promise<RealControlPlane> {
  const { bindAddress, serviceCidrs } = options;
  const stack = new AsyncDisposableStack();
  try {
    // It must exist before the API server, which makes its own directory.
    const directory = join(options.directory, "kubelet-clients");
    await mkdir(directory, { mode: 0o700 });
    const authority = await createAuthority(directory);
    const client = await issueClient(authority, "kube-apiserver", ["system:masters"]);
    const controlPlane = await startControlPlane({
      bindAddress,
      serviceCidrs,
      // Ours needs to know the cluster's authority, for pods.
      controllers: [],
      apiserverFlags: {
        "authorization-mode": "Node,RBAC",
        "kubelet-client-certificate": client.certificateFile,
        "kubelet-client-key": client.keyFile,
        "kubelet-preferred-address-types": "InternalIP",
      },
    });
    stack.use(controlPlane);
    for (const daemon of await startControllers(controlPlane)) stack.use(daemon);
    const ending = stack.move();
    return {
      controlPlane,
      kubeletClientAuthority: authority.certificateFile,
      [Symbol.asyncDispose]: () => ending.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function startControllers(controlPlane: ControlPlane): Promise<readonly Daemon[]> {
  const names = ["kube-controller-manager", "kube-scheduler"] as const;
  const binaries = await ensureBinaries(names);
  const shared = {
    kubeconfig: await controlPlane.kubeconfig("admin"),
    "leader-elect": "false",
    "secure-port": "0",
  };
  const own = {
    "kube-controller-manager": {
      controllers: CONTROLLERS.join(","),
      "root-ca-file": controlPlane.authorityFile,
      "cert-dir": controlPlane.directory,
    },
    "kube-scheduler": {},
  };
  return names.map((name) =>
    startDaemon({
      command: binaries[name],
      flags: { ...shared, ...own[name] },
      logFile: join(controlPlane.directory, `${name}.log`),
    }),
  );
}

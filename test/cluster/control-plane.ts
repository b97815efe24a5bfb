// A real control plane on this machine: etcd, kube-apiserver and, when controllers are asked for,
// kube-controller-manager. No kubelet and no scheduler: tests write Pods and their status
// themselves (see cluster-objects.ts), real controllers do the rest.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ApiClient } from "./api-client.ts";
import { ensureBinaries } from "./binaries.ts";
import { issueClient, type KeyPair } from "./certificates.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { EtcdClient } from "./etcd.ts";
import { type Credentials, writeKubeconfig } from "./kubeconfig.ts";
import {
  apiserverFlags,
  controllerManagerFlags,
  createLayout,
  etcdFlags,
  type Flags,
  type Layout,
  urlOf,
} from "./layout.ts";

/** Enough for Services to get slices and for what a deleted owner leaves to be collected. */
export const SERVICE_CONTROLLERS: readonly string[] = [
  "endpointslice-controller",
  "garbage-collector-controller",
  "namespace-controller",
  "serviceaccount-controller",
];
const PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager"] as const;
/** A program of the control plane. */
export type Program = (typeof PROGRAMS)[number];
const SERVICE_CIDRS = ["10.96.0.0/16", "fd96::/112"];
const START_LIMIT_MS = 60_000;
const TOKEN_SECONDS = 3_600;

export interface ControlPlaneOptions {
  /**
   * Where the API server listens, and only there: an address of this machine that the nodes under
   * test reach. @default 127.0.0.1
   */
  readonly bindAddress?: string;
  /** The primary family first. @default 10.96.0.0/16 and fd96::/112 */
  readonly serviceCidrs?: readonly string[];
  /**
   * Names for kube-controller-manager's `--controllers`; none: it does not run.
   * @default SERVICE_CONTROLLERS
   */
  readonly controllers?: readonly string[];
  /** More flags for kube-apiserver, without dashes; one given here wins over ours. */
  readonly apiserverFlags?: Flags;
}

/** A user to act as: a cluster administrator, a certificate's user, or a service account. */
export type ClusterUser =
  | "admin"
  | { readonly user: string; readonly groups: readonly string[] }
  | { readonly serviceAccount: { readonly namespace: string; readonly name: string } };

/**
 * Starts a control plane and waits until it is ready: a few seconds once the programs are built.
 * @throws BinaryError when a program cannot be had, Error with the end of its log when one fails
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = await ensureBinaries(PROGRAMS);
  const { controllers = SERVICE_CONTROLLERS } = options;
  const { bindAddress = "127.0.0.1", serviceCidrs = SERVICE_CIDRS } = options;
  const layout = await createLayout(bindAddress, serviceCidrs);
  const flags = { ...apiserverFlags(layout), ...options.apiserverFlags };
  const controlPlane = new ControlPlane(layout, binaries, flags);
  try {
    await controlPlane.start(controllers);
  } catch (error) {
    await controlPlane[Symbol.asyncDispose]();
    throw error;
  }
  return controlPlane;
}

/** A running control plane. Disposing of it ends its programs and removes its files. */
export class ControlPlane implements AsyncDisposable {
  /** Acts as cluster administrator. */
  readonly admin: ApiClient;
  readonly etcd: EtcdClient;
  readonly #layout: Layout;
  readonly #binaries: Readonly<Record<Program, string>>;
  readonly #apiserverFlags: Flags;
  readonly #daemons = new Map<Program, Daemon>();
  #kubeconfigs = 0;

  /** Made by `startControlPlane`. */
  constructor(layout: Layout, binaries: Readonly<Record<Program, string>>, apiserver: Flags) {
    this.#layout = layout;
    this.#binaries = binaries;
    this.#apiserverFlags = apiserver;
    this.admin = this.#client(layout.admin);
    this.etcd = new EtcdClient(layout.etcdUrl);
  }

  /** The API server's address, e.g. `https://127.0.0.1:20443`; the same after a restart. */
  get url(): string {
    return urlOf(this.#layout);
  }

  /** The ranges of Service addresses, the primary family first. */
  get serviceCidrs(): readonly string[] {
    return this.#layout.serviceCidrs;
  }

  /** PEM file of the authority that signed the API server's certificate. */
  get authorityFile(): string {
    return this.#layout.authority.certificateFile;
  }

  /** The API server's certificate: a proxy at another port of its address may use it. */
  get serverCertificate(): KeyPair {
    return this.#layout.server;
  }

  /** Scratch directory with the logs, `kube-apiserver.log` and so on; gone after disposal. */
  get directory(): string {
    return this.#layout.directory;
  }

  /** Process id of a running program, for CPU and memory readings; undefined when it is stopped. */
  pid(name: Program): number | undefined {
    const daemon = this.#daemons.get(name);
    return daemon?.running ? daemon.pid : undefined;
  }

  async start(controllers: readonly string[]): Promise<void> {
    this.#start("etcd", etcdFlags(this.#layout));
    await this.startApiserver();
    if (controllers.length === 0) return;
    const kubeconfig = await this.kubeconfig("admin");
    const flags = controllerManagerFlags(this.#layout, kubeconfig, controllers);
    this.#start("kube-controller-manager", flags);
  }

  /** Starts the API server that `stopApiserver` stopped, and waits until it is ready. */
  async startApiserver(): Promise<void> {
    const daemon = this.#start("kube-apiserver", this.#apiserverFlags);
    await daemon.waitUntil(async () => {
      await this.admin.requestText("GET", "/readyz");
      return true;
    }, START_LIMIT_MS);
  }

  /**
   * Stops the API server. SIGKILL resets every connection; SIGTERM drains, which open watches
   * stretch to the 5 s that it is given.
   */
  async stopApiserver(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    await this.#daemons.get("kube-apiserver")?.stop(signal);
  }

  /** Stops the API server and starts it again at the same address. */
  async restartApiserver(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    await this.stopApiserver(signal);
    await this.startApiserver();
  }

  /**
   * Compacts etcd to its newest revision. Continued lists of an older version get 410 at once;
   * watches only after `restartApiserver`, since a running API server replays what it remembers.
   */
  async compact(): Promise<void> {
    await this.etcd.compact();
  }

  /** Writes a kubeconfig for a user and returns its path. Tokens in it last an hour. */
  async kubeconfig(user: ClusterUser): Promise<string> {
    const credentials = await this.#credentials(user);
    this.#kubeconfigs += 1;
    const file = join(this.directory, `kubeconfig-${this.#kubeconfigs}.yaml`);
    await writeKubeconfig(file, { url: this.url, authorityFile: this.authorityFile, credentials });
    return file;
  }

  /** A client that acts as a user. The caller disposes of it. */
  async clientFor(user: ClusterUser): Promise<ApiClient> {
    return this.#client(await this.#credentials(user));
  }

  /** A token of a service account, as a projected volume would hold it. It may expire later. */
  async serviceAccountToken(
    namespace: string,
    name: string,
    seconds = TOKEN_SECONDS,
  ): Promise<string> {
    const answer = await this.admin.request<{ status: { token: string } }>(
      "POST",
      `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { expirationSeconds: seconds },
      },
    );
    return answer.status.token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.admin[Symbol.dispose]();
    await Promise.all(this.#daemons.values().map((daemon) => daemon.stop("SIGKILL")));
    await rm(this.directory, { recursive: true, force: true });
  }

  #start(name: Program, flags: Flags): Daemon {
    const logFile = join(this.directory, `${name}.log`);
    const daemon = startDaemon({ command: this.#binaries[name], flags, logFile });
    this.#daemons.set(name, daemon);
    return daemon;
  }

  async #credentials(user: ClusterUser): Promise<Credentials> {
    if (user === "admin") return this.#layout.admin;
    if ("user" in user) return issueClient(this.#layout.authority, user.user, user.groups);
    const { namespace, name } = user.serviceAccount;
    return { token: await this.serviceAccountToken(namespace, name) };
  }

  #client(credentials: Credentials): ApiClient {
    const { url, authorityFile } = this;
    return new ApiClient({ url, authorityFile, credentials });
  }
}

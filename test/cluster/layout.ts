// What stays the same for the life of one control plane, restarts included: its directory, its
// certificates and its ports; and the flags that follow from them.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Authority,
  createAuthority,
  createSigningKey,
  issueClient,
  issueServer,
  type KeyPair,
  type SigningKey,
} from "./certificates.ts";
import { findFreePort } from "./free-port.ts";

const DIRECTORY_PREFIX = "innermesh-control-plane";
const LOOPBACK = "127.0.0.1";
const ISSUER = "https://kubernetes.default.svc.cluster.local";

export type Flags = Readonly<Record<string, string>>;

export interface Layout {
  /** In memory when /dev/shm is there: etcd writes a lot. */
  readonly directory: string;
  readonly authority: Authority;
  readonly server: KeyPair;
  readonly admin: KeyPair;
  readonly signingKey: SigningKey;
  readonly etcdUrl: string;
  readonly etcdPeerUrl: string;
  readonly bindAddress: string;
  readonly port: number;
  readonly serviceCidrs: readonly string[];
}

/** Makes the directory and the certificates and chooses ports. */
export async function createLayout(
  bindAddress: string,
  serviceCidrs: readonly string[],
): Promise<Layout> {
  const directory = await makeDirectory();
  const authority = await createAuthority(directory);
  const hosts = [bindAddress, LOOPBACK, "::1", "localhost", "kubernetes.default.svc"];
  const [server, admin, signingKey, port, etcdPort, peerPort] = await Promise.all([
    issueServer(authority, "kube-apiserver", hosts),
    issueClient(authority, "kubernetes-admin", ["system:masters"]),
    createSigningKey(directory),
    findFreePort(bindAddress),
    findFreePort(LOOPBACK),
    findFreePort(LOOPBACK),
  ]);
  return {
    directory,
    authority,
    server,
    admin,
    signingKey,
    bindAddress,
    port,
    serviceCidrs,
    etcdUrl: `http://${LOOPBACK}:${etcdPort}`,
    etcdPeerUrl: `http://${LOOPBACK}:${peerPort}`,
  };
}

/** The API server's address, e.g. `https://[fd00::1]:20443`. */
export function urlOf({ bindAddress, port }: Layout): string {
  return `https://${bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress}:${port}`;
}

export function etcdFlags(layout: Layout): Flags {
  return {
    "data-dir": join(layout.directory, "etcd"),
    "listen-client-urls": layout.etcdUrl,
    "advertise-client-urls": layout.etcdUrl,
    "listen-peer-urls": layout.etcdPeerUrl,
    "initial-advertise-peer-urls": layout.etcdPeerUrl,
    "initial-cluster": `default=${layout.etcdPeerUrl}`,
    "quota-backend-bytes": String(4 * 1024 ** 3),
    "unsafe-no-fsync": "true",
    "log-level": "warn",
  };
}

export function apiserverFlags(layout: Layout): Flags {
  const { bindAddress, signingKey } = layout;
  return {
    "etcd-servers": layout.etcdUrl,
    // Only the tests compact, so that they decide when a watch finds its version gone.
    "etcd-compaction-interval": "0",
    "bind-address": bindAddress,
    "secure-port": String(layout.port),
    ...advertisement(layout),
    "cert-dir": layout.directory,
    "client-ca-file": layout.authority.certificateFile,
    "tls-cert-file": layout.server.certificateFile,
    "tls-private-key-file": layout.server.keyFile,
    "service-account-issuer": ISSUER,
    "service-account-key-file": signingKey.publicFile,
    "service-account-signing-key-file": signingKey.privateFile,
    "service-cluster-ip-range": layout.serviceCidrs.join(","),
    "authorization-mode": "RBAC",
    "allow-privileged": "true",
    "feature-gates": "WatchList=true",
  };
}

export function controllerManagerFlags(
  layout: Layout,
  kubeconfigFile: string,
  controllers: readonly string[],
): Flags {
  return {
    kubeconfig: kubeconfigFile,
    controllers: controllers.join(","),
    "cert-dir": layout.directory,
    "leader-elect": "false",
    "secure-port": "0",
    "kube-api-qps": "1000",
    "kube-api-burst": "2000",
  };
}

/**
 * How the Service default/kubernetes gets its endpoint. It takes addresses of the primary family
 * only, and no loopback address: then it has none, and the address asked for is a filler.
 */
function advertisement({ bindAddress, serviceCidrs }: Layout): Flags {
  const ipv6 = serviceCidrs[0]?.includes(":") === true;
  const loopback = bindAddress.startsWith("127.") || bindAddress === "::1";
  return !loopback && bindAddress.includes(":") === ipv6
    ? { "advertise-address": bindAddress, "endpoint-reconciler-type": "lease" }
    : {
        "advertise-address": ipv6 ? "2001:db8::1" : "192.0.2.1",
        "endpoint-reconciler-type": "none",
      };
}

/** Makes a directory named after this process, and removes those whose process was killed. */
async function makeDirectory(): Promise<string> {
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  for (const entry of await readdir(parent)) {
    const [prefix, owner] = entry.split(".");
    if (prefix !== DIRECTORY_PREFIX || existsSync(`/proc/${owner}`)) continue;
    await rm(join(parent, entry), { recursive: true, force: true });
  }
  const directory = await mkdtemp(join(parent, `${DIRECTORY_PREFIX}.${process.pid}.`));
  await mkdir(join(directory, "etcd"), { mode: 0o700 });
  return directory;
}

// The CA of a test cluster, run inside of the test with the rights of the manifests and no more,
// and node agents as the CA sees them: pods with bound tokens.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "@prometheus-io/client";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import { loadKubeconfig } from "../../lib/kube/kubeconfig.ts";
import { runApiSource } from "../../lib/kube/source/api-source.ts";
import { makeStore } from "../../lib/kube/store.ts";
import type { LogFields, Logger } from "../../lib/log/logger.ts";
import { encodeCsr } from "../../lib/x509/csr.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import { appliedFiles, applyPath } from "../../manifests/apply-contract.ts";
import { CaClient, type SignedChain } from "../../netpol-identity/apply/ca-client.ts";
import { runCertificateAuthority } from "../../netpol-identity/ca/ca-main.ts";
import { makeCaMetrics } from "../../netpol-identity/ca/ca-metrics.ts";
import { type CaSettings, DEFAULT_CA_SETTINGS } from "../../netpol-identity/ca/ca-settings.ts";
import { eventually } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { deletePod, putPod } from "./cluster-objects.ts";
import type { ControlPlane } from "./control-plane.ts";
import { findFreePort } from "./free-port.ts";

const SYSTEM = "innermesh-system";
const AGENTS = "kube-system";
const HOST = "127.0.0.1";
const NEVER = new AbortController().signal;

/** Installs what the CA needs of the manifests: namespace, accounts, roles. */
export async function installCaAccess(admin: ApiClient): Promise<void> {
  const objects = appliedFiles()
    .filter(({ path }) => /^kustomize\/base\/(controller|ca)-/.test(path))
    .flatMap((applied) => applied.objects)
    .filter(({ kind }) => kind !== "Deployment");
  const isFirst = ({ kind }: { readonly kind: string }): boolean => kind === "Namespace";
  for (const object of [...objects.filter(isFirst), ...objects.filter((one) => !isFirst(one))]) {
    const path = `${applyPath(object)}?fieldManager=innermesh-test&force=true`;
    await admin.request("PATCH", path, object, "application/apply-patch+yaml");
  }
}

export interface RunningCa extends AsyncDisposable {
  readonly port: number;
  readonly lines: readonly { readonly message: string; readonly fields: LogFields }[];
}

/** Starts one replica. */
export async function startCa(
  controlPlane: ControlPlane,
  { leads = true, settings = {} }: { leads?: boolean; settings?: Partial<CaSettings> } = {},
): Promise<RunningCa> {
  const serviceAccount = { namespace: SYSTEM, name: "innermesh-controller" };
  const config = await loadKubeconfig(await controlPlane.kubeconfig({ serviceAccount }));
  const client = makeKubeClient(config, systemClock);
  const stop = new AbortController();
  const { signal } = stop;
  const store = makeStore(["Pod"]);
  const reading = runApiSource({
    client,
    nodeName: "",
    store,
    clock: systemClock,
    random: Math.random,
    signal,
    onEvent: () => {},
    kinds: ["Pod"],
    pods: "all",
  });
  const port = await findFreePort(HOST);
  const lines: { message: string; fields: LogFields }[] = [];
  const note = (message: string, fields: LogFields = {}) => void lines.push({ message, fields });
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const running = runCertificateAuthority(
    {
      settings: { ...DEFAULT_CA_SETTINGS, listen: { host: HOST, port }, ...settings },
      client,
      store,
      leads: () => leads,
      clock: systemClock,
      log,
      metrics: makeCaMetrics(new Registry()),
    },
    signal,
  );
  return {
    port,
    lines,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all([running, reading]);
      client.close();
    },
  };
}

/** The published roots of a trust domain, PEM; rejects while there are none. */
export async function publishedRoots(
  admin: ApiClient,
  trustDomain = "cluster.local",
): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/${SYSTEM}/configmaps/innermesh-trust-bundle`;
  const { data } = await admin.request<{ data: Record<string, string> }>("GET", path);
  const roots = decodePem(data[`${trustDomain}.pem`] ?? "").map(encodePem);
  assert.ok(roots.length > 0, "no root is published");
  return roots;
}

export interface AgentOptions {
  readonly node: string;
  /** @default "innermesh-ca" */
  readonly audience?: string;
  /** @default "innermesh-node" */
  readonly serviceAccountName?: string;
}

/** A pod of a node agent, with a token as a projected volume would hold it. */
export class CaAgent implements AsyncDisposable {
  readonly #admin: ApiClient;
  readonly #name: string;
  readonly #folder: string;
  readonly #client: CaClient;
  #roots: readonly string[] = [];

  static async start(
    admin: ApiClient,
    ca: RunningCa,
    { node, audience = "innermesh-ca", serviceAccountName = "innermesh-node" }: AgentOptions,
  ): Promise<CaAgent> {
    const name = `agent-${node}-${audience}-${serviceAccountName}`;
    const place = { name, namespace: AGENTS, nodeName: node, podIPs: ["192.0.2.9"] };
    const pod = await putPod(admin, { ...place, serviceAccountName, hostNetwork: true });
    const path = `/api/v1/namespaces/${AGENTS}/serviceaccounts/${serviceAccountName}/token`;
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name, uid: pod.metadata?.uid };
    const answer = await admin.request<{ status: { token: string } }>("POST", path, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences: [audience], expirationSeconds: 3_600, boundObjectRef },
    });
    const folder = await mkdtemp(join(tmpdir(), "ca-agent-"));
    await writeFile(join(folder, "token"), answer.status.token);
    await eventually(() => publishedRoots(admin));
    return new CaAgent(admin, ca, { name, folder });
  }

  constructor(
    admin: ApiClient,
    ca: RunningCa,
    { name, folder }: { readonly name: string; readonly folder: string },
  ) {
    this.#admin = admin;
    this.#name = name;
    this.#folder = folder;
    this.#client = new CaClient({
      endpoint: () => ({ host: HOST, port: ca.port }),
      roots: () => this.#roots,
      tokenPath: join(folder, "token"),
      clock: systemClock,
    });
  }

  /**
   * Asks the CA, trusting what is published at this moment.
   * @param account as `namespace/name`
   */
  async sign(account: string, csrDer?: Buffer): Promise<SignedChain> {
    const [namespace = "", serviceAccount = ""] = account.split("/");
    const identity = { trustDomain: "cluster.local", namespace, serviceAccount };
    this.#roots = await publishedRoots(this.#admin);
    const own = () => encodeCsr(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    return this.#client.sign({ csrDer: csrDer ?? own(), identity }, NEVER);
  }

  /** Deletes the agent's pod at once; its token stays in these hands. */
  deletePod(): Promise<void> {
    return deletePod(this.#admin, AGENTS, this.#name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
    await rm(this.#folder, { recursive: true });
  }
}

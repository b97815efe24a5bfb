// Where the API server is and who we are, from a kubeconfig file or from the files that a pod
// gets. Everything that would run a program or a plug-in is refused: on a node that is an attack.

import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { asList, asRecord, asText, type JsonRecord } from "./api/fields.ts";
import type { TokenConfig } from "./bearer-token.ts";

export interface ClientConfig {
  /** http: or https:, perhaps with a path in front of `/api`. */
  readonly server: URL;
  /** PEM; undefined means the system's authorities. */
  readonly ca?: string;
  /** PEM; both or none. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string };
  readonly token: TokenConfig;
  /** The name to ask for and to check instead of the server's host. */
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify: boolean;
}

export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
  readonly code = "KUBECONFIG";
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const NOT_FOR_NODES = ["exec", "auth-provider", "username", "as"];

/**
 * Reads a kubeconfig and its current context. Relative file names count from the file's folder.
 * @throws KubeconfigError when it cannot be read or asks for what a node must not do
 */
export async function loadKubeconfig(path: string): Promise<ClientConfig> {
  const refuse = (why: string): never => {
    throw new KubeconfigError(`Cannot use kubeconfig "${path}": ${why}`);
  };
  const config = asRecord(parseYaml(await readText(path, `kubeconfig "${path}"`), refuse));
  const contextName = asText(config["current-context"]);
  const context = named(config["contexts"], contextName, "context");
  if (context === undefined) return refuse(`current-context "${contextName}" is not in contexts`);
  const clusterName = asText(context["cluster"]);
  const cluster = named(config["clusters"], clusterName, "cluster");
  if (cluster === undefined) return refuse(`cluster "${clusterName}" is not in clusters`);
  const userName = asText(context["user"]);
  const user = named(config["users"], userName, "user") ?? {};
  const unsupported = NOT_FOR_NODES.find((field) => user[field] !== undefined);
  if (unsupported !== undefined) {
    return refuse(
      `user "${userName}" uses "${unsupported}", which the node role never runs; ` +
        "give it a token file or a client certificate (the CLI verbs read such files " +
        "through @kubernetes/client-node)",
    );
  }
  if (asText(cluster["proxy-url"]) !== "") return refuse("proxy-url is not supported");
  const server = URL.parse(asText(cluster["server"]));
  if (server === null || !/^https?:$/.test(server.protocol)) {
    return refuse(`cluster "${clusterName}" has no http(s) server address`);
  }
  const read = (record: JsonRecord, field: string): Promise<string | undefined> =>
    dataOrFile(record, field, dirname(path));
  const ca = await read(cluster, "certificate-authority");
  const cert = await read(user, "client-certificate");
  const key = await read(user, "client-key");
  if ((cert === undefined) !== (key === undefined)) {
    return refuse(`user "${userName}" needs both a client certificate and its key`);
  }
  const tlsServerName = asText(cluster["tls-server-name"]);
  return {
    server,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && key !== undefined && { clientCertificate: { cert, key } }),
    token: tokenOf(user, dirname(path)),
    ...(tlsServerName !== "" && { tlsServerName }),
    insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"] === true,
  };
}

/**
 * The API server as a pod sees it.
 * @param env holds KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT
 * @param folder where the ServiceAccount's token and CA are mounted
 * @throws KubeconfigError outside a pod
 */
export async function inClusterConfig(
  env: Readonly<Record<string, string | undefined>>,
  folder = SERVICE_ACCOUNT,
): Promise<ClientConfig> {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  if (!host || !port) {
    throw new KubeconfigError(
      "Cannot find the API server: KUBERNETES_SERVICE_HOST is not set; " +
        "outside a pod give --kubeconfig",
    );
  }
  const authority = host.includes(":") ? `[${host}]` : host;
  return {
    server: new URL(`https://${authority}:${port}`),
    ca: await readText(`${folder}/ca.crt`, "the cluster's CA"),
    token: { kind: "file", path: `${folder}/token` },
    insecureSkipTlsVerify: false,
  };
}

function tokenOf(user: JsonRecord, folder: string): TokenConfig {
  const path = asText(user["tokenFile"]);
  if (path !== "") return { kind: "file", path: resolve(folder, path) };
  const token = asText(user["token"]);
  return token === "" ? { kind: "none" } : { kind: "static", token };
}

function named(list: unknown, name: string, field: string): JsonRecord | undefined {
  const found = asList(list).find((item) => asRecord(item)["name"] === name);
  return found === undefined ? undefined : asRecord(asRecord(found)[field]);
}

/** `FIELD-data` (base64) wins over `FIELD` (a file name), as for kubectl. */
async function dataOrFile(
  record: JsonRecord,
  field: string,
  folder: string,
): Promise<string | undefined> {
  const data = asText(record[`${field}-data`]);
  if (data !== "") return Buffer.from(data, "base64").toString("utf8");
  const path = asText(record[field]);
  return path === "" ? undefined : readText(resolve(folder, path), field);
}

function parseYaml(text: string, refuse: (why: string) => never): unknown {
  try {
    return parse(text);
  } catch {
    // The parser's own message quotes the file, and this file holds secrets.
    return refuse("it is no valid YAML");
  }
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new KubeconfigError(`Cannot read ${what} from "${path}"`, { cause });
  }
}

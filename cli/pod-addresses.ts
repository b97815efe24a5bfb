// Where a pod is, for verbs that let people name pods: the node role itself never watches them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { systemClock } from "../lib/clock/system-clock.ts";
import { parseAddress } from "../lib/ip/address.ts";
import { makeKubeClient } from "../lib/kube/client.ts";
import type { NodeSettings } from "../service-proxy/config/node-settings.ts";
import { clientConfig } from "./kube-access.ts";

const LOOKUP_TIMEOUT_MS = 10_000;

/** Addresses of `namespace/pod` (namespace default when not said); empty when it is not found. */
export async function podAddresses(
  settings: NodeSettings,
  pod: string,
): Promise<readonly string[]> {
  const [name = "", namespace = "default"] = pod.split("/").reverse();
  const { source } = settings;
  const found =
    source.kind === "directory"
      ? fromDirectory(source.path, namespace, name)
      : await fromCluster(source, namespace, name);
  return addressesOf(found);
}

async function fromCluster(
  source: { readonly kubeconfigPath?: string },
  namespace: string,
  name: string,
): Promise<unknown> {
  const client = makeKubeClient(await clientConfig(source), systemClock);
  try {
    const signal = AbortSignal.timeout(LOOKUP_TIMEOUT_MS);
    return await client.getJson(`/api/v1/namespaces/${namespace}/pods/${name}`, { signal });
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

function fromDirectory(path: string, namespace: string, name: string): unknown {
  for (const file of readdirSync(path).filter((entry) => /\.(ya?ml|json)$/.test(entry))) {
    for (const document of parseAllDocuments(readFileSync(join(path, file), "utf8"))) {
      for (const value of podsOf(document.toJS())) {
        const metadata = isRecord(value["metadata"]) ? value["metadata"] : {};
        const inNamespace = (metadata["namespace"] ?? "default") === namespace;
        if (inNamespace && metadata["name"] === name) return value;
      }
    }
  }
  return undefined;
}

/** The document itself, or those in a `List`; in a `PodList` items need not say what they are. */
function podsOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!isRecord(value)) return [];
  const { kind, items } = value;
  const all = String(kind).endsWith("List") && Array.isArray(items) ? items : [value];
  const isPod = (one: Readonly<Record<string, unknown>>): boolean =>
    one["kind"] === "Pod" || (kind === "PodList" && one["kind"] === undefined);
  return all.filter(isRecord).filter(isPod);
}

function addressesOf(pod: unknown): readonly string[] {
  const status = isRecord(pod) && isRecord(pod["status"]) ? pod["status"] : {};
  const listed = Array.isArray(status["podIPs"]) ? status["podIPs"] : [];
  const texts = [
    ...listed.map((entry: unknown) => isRecord(entry) && entry["ip"]),
    status["podIP"],
  ];
  const addresses = texts.map(parseAddress).filter((address) => address !== undefined);
  return [...new Set(addresses)];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

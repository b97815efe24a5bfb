// Publishes the trust bundle: as a ConfigMap, which our nodes watch, and as a ClusterTrustBundle,
// which any pod can have projected, where the cluster has that API (KEP-3257).

import { asRecord, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { WriteOptions } from "../../lib/kube/client.ts";
import { type BundleContent, nextBundle } from "./bundle-document.ts";
import { type ObjectClient, StateObject } from "./state-object.ts";

export interface PublishOptions {
  readonly client: ObjectClient;
  readonly namespace: string;
  readonly name: string;
}

const TRUST_BUNDLE_VERSIONS = ["v1", "v1beta1", "v1alpha1"] as const;
const TRIES = 3;

/**
 * Brings the ConfigMap to this content.
 * @returns whether something was written
 * @throws KubeApiError when it could not be
 */
export async function publishConfigMap(
  { client, namespace, name }: PublishOptions,
  content: BundleContent,
  options: WriteOptions,
): Promise<boolean> {
  const collection = `/api/v1/namespaces/${namespace}/configmaps`;
  const object = new StateObject({ client, collection, name });
  return bringTo(object, (before) => nextBundle(before, content, { namespace, name }), options);
}

/**
 * Brings the ClusterTrustBundle of that name to these roots. It is tied to no signer, so that no
 * right to speak for one is needed.
 * @returns undefined when the cluster has no such API, else whether something was written
 * @throws KubeApiError when it could not be
 */
export async function publishTrustBundle(
  { client, name }: Omit<PublishOptions, "namespace">,
  roots: readonly string[],
  options: WriteOptions,
): Promise<boolean | undefined> {
  const trustBundle = roots.join("");
  for (const version of TRUST_BUNDLE_VERSIONS) {
    const api = `/apis/certificates.k8s.io/${version}`;
    if (!(await hasTrustBundles(client, api, options))) continue;
    const object = new StateObject({ client, collection: `${api}/clustertrustbundles`, name });
    const next = (before: JsonRecord | undefined): JsonRecord | undefined => {
      if (asRecord(before?.["spec"])["trustBundle"] === trustBundle) return undefined;
      const metadata = before === undefined ? { name } : asRecord(before["metadata"]);
      const apiVersion = `certificates.k8s.io/${version}`;
      return { apiVersion, kind: "ClusterTrustBundle", metadata, spec: { trustBundle } };
    };
    return bringTo(object, next, options);
  }
  return undefined;
}

async function hasTrustBundles(
  client: ObjectClient,
  api: string,
  { signal }: WriteOptions,
): Promise<boolean> {
  const [root, name] = [api.slice(0, api.lastIndexOf("/")), api.slice(api.lastIndexOf("/") + 1)];
  const version = await new StateObject({ client, collection: root, name }).read(signal);
  const resources = version?.["resources"];
  if (!Array.isArray(resources)) return false;
  return resources.some((resource) => asRecord(resource)["name"] === "clustertrustbundles");
}

async function bringTo(
  object: StateObject,
  next: (before: JsonRecord | undefined) => JsonRecord | undefined,
  options: WriteOptions,
): Promise<boolean> {
  for (let i = 0; i < TRIES; i++) {
    const before = await object.read(options.signal);
    const after = next(before);
    if (after === undefined) return false;
    if ((await object.write(before, after, options)) !== undefined) return true;
  }
  throw new Error(`Cannot write "${object.name}": others wrote it ${TRIES} times in between`);
}

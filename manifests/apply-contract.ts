// Has a real API server judge every file, by server-side apply as a dry run: schema, defaulting,
// validation and admission, and nothing stays.

import { parseAllDocuments } from "yaml";

import { renderTemplate } from "./helm-template.ts";
import { manifestFiles } from "./manifest-text.ts";
import type { ManifestObject } from "./source/manifest.ts";

/** Sends one PATCH of type application/apply-patch+yaml; rejects when the server refuses. */
export type ApplyRequest = (path: string, object: ManifestObject) => Promise<unknown>;

/** One file as a user would apply it. */
export interface AppliedFile {
  /** Path below manifests/. */
  readonly path: string;
  readonly objects: readonly ManifestObject[];
}

const resources: Readonly<Record<string, string>> = {
  Namespace: "namespaces",
  ServiceAccount: "serviceaccounts",
  ClusterRole: "clusterroles",
  ClusterRoleBinding: "clusterrolebindings",
  Role: "roles",
  RoleBinding: "rolebindings",
  ConfigMap: "configmaps",
  DaemonSet: "daemonsets",
  Deployment: "deployments",
  Service: "services",
  CustomResourceDefinition: "customresourcedefinitions",
};

/** Files that are for kustomize and Helm themselves. */
const notObjects = /\/(kustomization|Chart|values)\.yaml$/;

/**
 * Every file with objects: kustomize's base, and the chart with its defaults and with every value
 * that turns a file on.
 */
export function appliedFiles(): readonly AppliedFile[] {
  const files = manifestFiles();
  const valuesYaml = files.get("helm/innermesh/values.yaml") ?? "";
  const turnedOn = valuesYaml.replace('host: ""', "host: 192.0.2.1");
  return [...files].flatMap(([path, text]) => {
    if (notObjects.test(path)) return [];
    const rendered = path.startsWith("helm/") ? renderTemplate(text, turnedOn) : text;
    return [{ path, objects: objectsOf(rendered) }];
  });
}

/**
 * Applies every file as a dry run.
 * @returns one sentence per file that the server refuses; empty when all are good
 */
export async function validateManifests(apply: ApplyRequest): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const { path, objects } of appliedFiles()) {
    for (const object of objects) {
      const where = `${applyPath(object)}?fieldManager=innermesh-test&dryRun=All&force=true`;
      await apply(`${where}&fieldValidation=Strict`, object).catch((error: unknown) => {
        problems.push(`${path}: ${String(error)}`);
      });
    }
  }
  return problems;
}

/** Where an object lives. */
export function applyPath({ apiVersion, kind, metadata }: ManifestObject): string {
  const resource = resources[kind];
  if (resource === undefined)
    throw new Error(`Cannot place kind "${kind}": apply-contract.ts lacks it`);
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${root}${scope}/${resource}/${metadata.name}`;
}

function objectsOf(text: string): readonly ManifestObject[] {
  return parseAllDocuments(text).map((document) => document.toJS() as ManifestObject);
}

// From manifests to files: kustomize's base and the Helm chart. Pure.

import assert from "node:assert/strict";
import { Document, isMap, isNode, isScalar, isSeq, stringify } from "yaml";

import { VERSION } from "../roles/version.ts";
import { installationManifests } from "./source/installation.ts";
import type { Manifest } from "./source/manifest.ts";
import { defaultLookup, helmLookup, values } from "./source/values.ts";

const GENERATED = " Made by `node manifests/render.ts` from manifests/source: change it there.";
const BASE = "kustomize/base";
const CHART = "helm/innermesh";

/** Every file of kustomize's base and of the chart: path below manifests/ → text. */
export function manifestFiles(): ReadonlyMap<string, string> {
  const base = installationManifests(defaultLookup).filter(
    ({ onlyWith }) => onlyWith === undefined,
  );
  const files = new Map<string, string>();
  for (const manifest of base) files.set(`${BASE}/${manifest.name}.yaml`, formatManifest(manifest));
  files.set(`${BASE}/kustomization.yaml`, formatKustomization(base));
  for (const manifest of installationManifests(helmLookup)) {
    files.set(`${CHART}/templates/${manifest.name}.yaml`, formatTemplate(manifest));
  }
  files.set(`${CHART}/Chart.yaml`, formatChart());
  files.set(`${CHART}/values.yaml`, formatValues());
  return files;
}

function formatManifest({ object, comments }: Manifest): string {
  const document = new Document(object, { aliasDuplicateObjects: false });
  document.commentBefore = GENERATED;
  for (const [path, comment] of Object.entries(comments)) {
    addComment(document, path.split("."), comment);
  }
  return document.toString({ lineWidth: 100 });
}

function formatTemplate(manifest: Manifest): string {
  const text = formatManifest(manifest);
  if (manifest.onlyWith === undefined) return text;
  return `{{- if .Values.${manifest.onlyWith} }}\n${text}{{- end }}\n`;
}

function formatKustomization(manifests: readonly Manifest[]): string {
  return `#${GENERATED}\n${stringify({
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    resources: manifests.map(({ name }) => `${name}.yaml`),
  })}`;
}

function formatChart(): string {
  return `#${GENERATED}\n${stringify({
    apiVersion: "v2",
    name: "innermesh",
    description: "Replaces kube-proxy on every node, and says what becomes of routes",
    type: "application",
    version: VERSION,
    appVersion: VERSION,
    kubeVersion: ">=1.33.0-0",
  })}`;
}

function formatValues(): string {
  const tree: Record<string, string | Record<string, string>> = {};
  for (const [path, { default: value }] of Object.entries(values)) {
    const [group = "", name] = path.split(".");
    const before = tree[group];
    tree[group] =
      name === undefined ? value : { ...(typeof before === "object" && before), [name]: value };
  }
  const document = new Document(tree);
  document.commentBefore = GENERATED;
  for (const [path, { help }] of Object.entries(values)) {
    addComment(document, path.split("."), wrap(help));
  }
  return document.toString({ lineWidth: 0 });
}

/** Puts a comment above a field or a list item, by its path. */
function addComment(document: Document, path: readonly string[], comment: string): void {
  const last = path.at(-1) ?? "";
  const parent: unknown = document.getIn(path.slice(0, -1), true);
  const node: unknown = isSeq(parent)
    ? parent.items[Number(last)]
    : isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && key.value === last)?.key
      : undefined;
  assert(isNode(node), `a comment stands above "${path.join(".")}", which is not there`);
  node.commentBefore = comment;
}

/** Lines of at most 90 columns, each with a blank in front, as comments of YAML want it. */
function wrap(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line.length + word.length > 88) {
      lines.push(line);
      line = "";
    }
    line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}

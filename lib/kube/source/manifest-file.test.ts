// One file of manifests: which documents count, and on which line the others are wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Manifest, readManifest } from "./manifest-file.ts";
import { parseFieldPath } from "./manifest-text.ts";

const OPTIONS = { nodeName: "node-a", nodes: "own" as const, serviceProxyName: undefined };

const read = (text: string, name = "a.yaml"): Manifest => readManifest(name, text, OPTIONS);

function ids(manifest: Manifest): readonly string[] {
  return manifest.kind === "broken" ? ["broken"] : manifest.entries.map(({ id }) => id);
}

function problems(manifest: Manifest): readonly string[] {
  return manifest.problems.map(({ object, field, message }) => `${object} ${field}: ${message}`);
}

const SERVICE = `apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  clusterIP: 10.96.0.10
  ports:
    - port: 80
`;

test("many documents, comments, blanks and strangers", () => {
  const text = `# a whole application
---
${SERVICE}
---
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: { name: other }
---
just text
`;
  const manifest = read(text);
  assert.deepEqual(ids(manifest), ["Service default/web"]);
  assert.deepEqual(manifest.problems, []);
  assert.ok(manifest.kind === "manifest" && manifest.entries[0]?.line === 3);
});

test("List and ServiceList are their items, with lines", () => {
  const list = `apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: { name: web }
    spec: { clusterIP: 10.96.0.10, ports: [{ port: 80 }] }
  - apiVersion: v1
    kind: Service
    metadata: { name: db }
    spec: { clusterIP: nonsense, ports: [{ port: 80 }] }
`;
  const manifest = read(list);
  assert.deepEqual(ids(manifest), ["Service default/web", "Service default/db"]);
  assert.match(problems(manifest)[0] ?? "", /^file a\.yaml:11 spec\.clusterIP\[0\]: Service def/);
  const typed = list
    .replace("kind: List", "kind: ServiceList")
    .replaceAll("    kind: Service\n", "");
  assert.deepEqual(ids(read(typed)), ids(manifest));
});

test("JSON is read as such, and still knows its lines when something is wrong", () => {
  const good = { apiVersion: "v1", kind: "Service", metadata: { name: "web" } };
  const spec = { clusterIP: "10.96.0.10", externalIPs: ["here"], ports: [{ port: 80 }] };
  const manifest = read(JSON.stringify({ ...good, spec }, null, 2), "a.json");
  assert.deepEqual(ids(manifest), ["Service default/web"]);
  assert.match(problems(manifest)[0] ?? "", /^file a\.json:10 spec\.externalIPs\[0\]: /);
});

const WRONG_VERSIONS = [
  ["v2", "Service"],
  ["core/v1", "Service"],
  ["", "Service"],
  ["discovery.k8s.io/v1beta1", "EndpointSlice"],
  ["discovery.k8sio/v1", "EndpointSlice"],
  ["networking.k8s.io/v2", "ServiceCIDR"],
] as const;
for (const [apiVersion, kind] of WRONG_VERSIONS) {
  test(`apiVersion "${apiVersion}" of a ${kind} is taken for a typo`, () => {
    const manifest = read(`kind: ${kind}\napiVersion: "${apiVersion}"\nmetadata: { name: web }\n`);
    assert.deepEqual(ids(manifest), []);
    assert.match(problems(manifest)[0] ?? "", /^file a\.yaml:2 apiVersion: want .* for a /);
  });
}

for (const [apiVersion, kind] of [
  ["gateway.networking.k8s.io/v1", "HTTPRoute"],
  ["gateway.networking.k8s.io/v1beta1", "HTTPRoute"],
  ["gateway.networking.k8s.io/v1", "GRPCRoute"],
  ["gateway.networking.k8s.io/v1alpha2", "TCPRoute"],
  ["gateway.networking.k8s.io/v1alpha3", "TLSRoute"],
  ["gateway.networking.k8s.io/v1", "UDPRoute"],
  ["gateway.networking.k8s.io/v1alpha2", "UDPRoute"],
  ["gateway.networking.k8s.io/v1beta1", "ReferenceGrant"],
] as const) {
  test(`a ${kind} of ${apiVersion} is read`, () => {
    const manifest = read(`kind: ${kind}\napiVersion: ${apiVersion}\nmetadata: { name: web }\n`);
    assert.deepEqual(ids(manifest), [`${kind} default/web`]);
    assert.deepEqual(problems(manifest), []);
  });
}

test("a bad field of a route names its line", () => {
  const manifest = read(`kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: { name: web }
spec:
  rules:
  - matches:
    - path:
        value: no-slash
`);
  assert.match(problems(manifest)[0] ?? "", /^file a\.yaml:8 spec\.rules\[0\]\.matches\[0\]\.path/);
});

test("a Service without a cluster IP is told to set one", () => {
  const manifest = read(SERVICE.replace("  clusterIP: 10.96.0.10\n", ""));
  assert.deepEqual(ids(manifest), ["Service default/web"]);
  assert.match(problems(manifest)[0] ?? "", /file a\.yaml:6 spec\.clusterIP: .*nothing allocates/);
});

test("syntax errors name their line", () => {
  const manifest = read(`${SERVICE}    - port: [\n`);
  assert.equal(manifest.kind, "broken");
  assert.match(problems(manifest)[0] ?? "", /^file a\.yaml:(9|10) /);
});

test("versions copied from a cluster do not count, for people edit files", () => {
  const copied = SERVICE.replace("name: web", 'name: web\n  resourceVersion: "77"\n  uid: u');
  const manifest = read(copied);
  assert.ok(manifest.kind === "manifest");
  assert.equal(manifest.entries[0]?.object?.resourceVersion, "");
  assert.equal(manifest.entries[0]?.object?.uid, "u");
});

test("other Nodes count only where all are wanted", () => {
  const node = "apiVersion: v1\nkind: Node\nmetadata: { name: other }\n";
  assert.deepEqual(ids(read(node)), []);
  const all = { ...OPTIONS, nodes: "all" as const };
  assert.deepEqual(ids(readManifest("a.yaml", node, all)), ["Node other"]);
});

test("a Service for another proxy counts only for that proxy", () => {
  const label = "service.kubernetes.io/service-proxy-name: other";
  const labelled = SERVICE.replace("name: web", `name: web\n  labels: { ${label} }`);
  assert.deepEqual(ids(read(labelled)), []);
  const other = { nodeName: "node-a", nodes: "own" as const, serviceProxyName: "other" };
  assert.deepEqual(ids(readManifest("a.yaml", labelled, other)), ["Service default/web"]);
  assert.deepEqual(ids(readManifest("a.yaml", SERVICE, other)), []);
});

test("alias bombs and deep nesting are broken files, not broken nodes", () => {
  const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"];
  for (const name of ["b", "c", "d", "e", "f"]) {
    const last = String.fromCharCode(name.charCodeAt(0) - 1);
    bomb.push(`${name}: &${name} [${`*${last}, `.repeat(9)}x]`);
  }
  assert.equal(read(bomb.join("\n")).kind, "broken");
  assert.ok(read("[".repeat(100_000)).kind);
});

test("every truncation of a file, and every text, is read to something", () => {
  const text = `${SERVICE}---\n${SERVICE.replace("web", "db")}`;
  for (let end = 0; end <= text.length; end += 3) assert.ok(read(text.slice(0, end)).kind);
  fc.assert(fc.property(fc.string(), (any) => read(any).kind !== undefined));
  fc.assert(fc.property(fc.json(), (any) => read(any).kind !== undefined));
});

test("field names become paths", () => {
  assert.deepEqual(parseFieldPath("spec.ports[0].port"), ["spec", "ports", 0, "port"]);
  assert.deepEqual(parseFieldPath(""), []);
});

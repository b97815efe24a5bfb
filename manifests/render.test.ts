// What is committed is what the source makes; kustomize and Helm install the same; and nobody
// gets a right or a capability unnoticed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { parse, parseAllDocuments } from "yaml";
import { AGENT_ACCESS } from "../cli/check/access.ts";
import { asRecord } from "../lib/kube/api/fields.ts";
import { appliedFiles } from "./apply-contract.ts";
import { renderTemplate } from "./helm-template.ts";
import { manifestFiles } from "./manifest-text.ts";
import { staleFiles, writeFiles } from "./render.ts";
import { accessManifests } from "./source/access.ts";
import { caManifests } from "./source/ca.ts";
import { nodeCapabilities } from "./source/capabilities.ts";
import { controllerManifests } from "./source/controller.ts";
import { controllerAccessManifests } from "./source/controller-access.ts";
import { nodeManifests } from "./source/node.ts";
import { defaultLookup } from "./source/values.ts";

const run = promisify(execFile);
const files = manifestFiles();

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const documentsOf = (yaml: string): readonly unknown[] =>
  parseAllDocuments(yaml).map((document) => document.toJS());
const daemonSet = () => {
  const manifest = nodeManifests(defaultLookup).find(({ object }) => object.kind === "DaemonSet");
  return parse(JSON.stringify(manifest?.object)).spec;
};
const text = (path: string): string => {
  const found = files.get(path);
  assert.ok(found !== undefined, `there is no ${path}`);
  return found;
};

test("the committed files are what the source makes", async () => {
  assert.deepEqual(await staleFiles(import.meta.dirname), []);
});

test("writing makes a folder clean, and a changed or an extra file is noticed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "manifests-"));
  t.after(() => rm(folder, { recursive: true }));
  assert.equal((await staleFiles(folder)).length, files.size);
  await writeFiles(folder);
  assert.deepEqual(await staleFiles(folder), []);
  await writeFile(join(folder, "kustomize/base/config-map.yaml"), "changed");
  await writeFile(join(folder, "kustomize/base/more.yaml"), "more");
  assert.deepEqual(await staleFiles(folder), [
    "kustomize/base/config-map.yaml is stale",
    "kustomize/base/more.yaml has no source",
  ]);
  await writeFiles(folder);
  assert.deepEqual(await staleFiles(folder), []);
});

test("the chart with its defaults is kustomize's base, object by object", () => {
  const valuesYaml = text("helm/innermesh/values.yaml");
  const rendered = [...files].flatMap(([path, template]) => {
    const name = /^helm\/innermesh\/templates\/(.+)$/.exec(path)?.[1];
    const result = name === undefined ? "" : renderTemplate(template, valuesYaml);
    return result === "" ? [] : [[name, parse(result)]];
  });
  const { resources } = parse(text("kustomize/base/kustomization.yaml"));
  const base = resources.map((name: string) => [name, parse(text(`kustomize/base/${name}`))]);
  // The configuration file is text inside text, quoted as each way wants it.
  const plain = (objects: unknown) =>
    JSON.parse(JSON.stringify(objects), (key, value: unknown) =>
      key === "config.yaml" ? documentsOf(String(value)) : value,
    );
  assert.deepEqual(plain(rendered), plain(base));
});

test("a template that does more than putting values in is refused", () => {
  assert.throws(() => renderTemplate("a: {{ include x }}\n", "a: b"), /only values can be put in/);
  assert.throws(() => renderTemplate("a: {{ .Values.b }}\n", "a: b"), /has no text "b"/);
});

test("an address of the API server adds the ConfigMap that the DaemonSet looks for", () => {
  const found = appliedFiles().find(({ path }) => path.endsWith("templates/api-server.yaml"));
  assert.deepEqual(found?.objects[0]?.["data"], { host: "192.0.2.1", port: "6443" });
});

test("the agent may read what it programs and create Events: nothing else", () => {
  const role = accessManifests.find(({ object }) => object.kind === "ClusterRole");
  assert.deepEqual(role?.object["rules"], [
    { apiGroups: [""], resources: ["services"], verbs: ["list", "watch"] },
    { apiGroups: [""], resources: ["nodes"], verbs: ["list", "watch"] },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
    { apiGroups: ["networking.k8s.io"], resources: ["servicecidrs"], verbs: ["list", "watch"] },
    { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
    { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["list", "watch"] },
    {
      apiGroups: ["gateway.networking.k8s.io"],
      resources: [
        "httproutes",
        "grpcroutes",
        "tcproutes",
        "tlsroutes",
        "udproutes",
        "referencegrants",
      ],
      verbs: ["list", "watch"],
    },
    { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["list", "watch"] },
    {
      apiGroups: ["policy.networking.k8s.io"],
      resources: ["clusternetworkpolicies"],
      verbs: ["list", "watch"],
    },
    {
      apiGroups: ["innermesh.io"],
      resources: ["serviceaccountpolicies", "meshpolicies"],
      verbs: ["list", "watch"],
    },
    { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"] },
  ]);
  const roles = accessManifests.filter(({ object }) => object.kind.endsWith("Role"));
  assert.equal(roles.length, 1);
});

test("the controller may read what it judges, patch statuses, and hold its lease: nothing else", () => {
  const routes = ["httproutes", "grpcroutes", "tcproutes", "tlsroutes", "udproutes"];
  const [gateway, experimental] = ["gateway.networking.k8s.io", "gateway.networking.x-k8s.io"];
  const [ours, admin] = ["innermesh.io", "policy.networking.k8s.io"];
  const policies = ["serviceaccountpolicies", "meshpolicies"];
  const rules = controllerAccessManifests
    .filter(({ object }) => /^(Cluster)?Role$/.test(object.kind))
    .map(({ object }) => [object.kind, object.metadata.namespace, object["rules"]]);
  const clusterRules = [
    { apiGroups: [""], resources: ["services", "namespaces"], verbs: ["list", "watch"] },
    { apiGroups: [gateway], resources: ["referencegrants"], verbs: ["list", "watch"] },
    { apiGroups: [gateway], resources: routes, verbs: ["get", "list", "watch"] },
    { apiGroups: [gateway], resources: routes.map((name) => `${name}/status`), verbs: ["patch"] },
    { apiGroups: [experimental], resources: ["xmeshes"], verbs: ["get", "list", "watch"] },
    { apiGroups: [experimental], resources: ["xmeshes/status"], verbs: ["patch"] },
    { apiGroups: [ours], resources: policies, verbs: ["get", "list", "watch"] },
    { apiGroups: [ours], resources: policies.map((name) => `${name}/status`), verbs: ["patch"] },
    { apiGroups: [admin], resources: ["clusternetworkpolicies"], verbs: ["get", "list", "watch"] },
    { apiGroups: [admin], resources: ["clusternetworkpolicies/status"], verbs: ["patch"] },
    { apiGroups: [""], resources: ["pods", "nodes"], verbs: ["list", "watch"] },
  ];
  const leases = { apiGroups: ["coordination.k8s.io"], resources: ["leases"] };
  const ownRules = [
    { ...leases, verbs: ["create"] },
    { ...leases, resourceNames: ["innermesh-controller"], verbs: ["get", "update"] },
    { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"] },
  ];
  assert.deepEqual(rules, [
    ["ClusterRole", undefined, clusterRules],
    ["Role", "innermesh-system", ownRules],
  ]);
});

test("the CA may review tokens, read pods, and touch five objects by name: nothing else", () => {
  const rules = caManifests
    .filter(({ object }) => /^(Cluster)?Role$/.test(object.kind))
    .map(({ object: { kind, metadata, ...object } }) => [kind, metadata.name, object["rules"]]);
  const trustBundles = { apiGroups: ["certificates.k8s.io"], resources: ["clustertrustbundles"] };
  const secrets = { apiGroups: [""], resources: ["secrets"] };
  const configMaps = { apiGroups: [""], resources: ["configmaps"] };
  const reviews = { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"] };
  const [bundle, write] = [["innermesh-trust-bundle"], ["get", "update"]];
  assert.deepEqual(rules, [
    [
      "ClusterRole",
      "innermesh-ca",
      [
        { ...reviews, verbs: ["create"] },
        { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
        { ...trustBundles, verbs: ["create"] },
        { ...trustBundles, resourceNames: bundle, verbs: write },
      ],
    ],
    [
      "Role",
      "innermesh-ca",
      [
        { ...secrets, verbs: ["create"] },
        { ...secrets, resourceNames: ["innermesh-ca"], verbs: write },
        { ...secrets, resourceNames: ["innermesh-ca-user"], verbs: ["get"] },
        { ...configMaps, verbs: ["create"] },
        { ...configMaps, resourceNames: bundle, verbs: write },
        { ...configMaps, resourceNames: ["innermesh-bans"], verbs: ["get"] },
      ],
    ],
    [
      "Role",
      "innermesh-trust-bundle",
      [{ ...configMaps, resourceNames: bundle, verbs: ["get", "list", "watch"] }],
    ],
  ]);
});

test("the controller runs without root, capabilities, host or a writable root", () => {
  const manifest = controllerManifests(defaultLookup).find(
    ({ object }) => object.kind === "Deployment",
  );
  const { spec } = parse(JSON.stringify(manifest?.object)).spec.template;
  const [controller, ...others] = spec.containers;
  assert.deepEqual(others, []);
  assert.deepEqual(controller.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  assert.equal(spec.securityContext.runAsNonRoot, true);
  assert.equal(spec.hostNetwork ?? spec.hostPID ?? spec.hostIPC ?? spec.volumes, undefined);
});

test("`innermesh check` asks for the very access that the agent's ClusterRole grants", () => {
  const role = accessManifests.find(({ object }) => object.kind === "ClusterRole");
  const flat = (rules: readonly Rule[]): readonly string[] =>
    rules
      .flatMap(({ apiGroups: [group], resources, verbs }) =>
        resources.map((resource) => `${verbs.join(",")} ${group}/${resource}`),
      )
      .sort();
  const asked = AGENT_ACCESS.map(({ group, resource, verbs }) => ({
    apiGroups: [group],
    resources: [resource],
    verbs,
  }));
  assert.deepEqual(flat(asked), flat(role?.object["rules"] as readonly Rule[]));
});

test("the agent holds two capabilities, no more host than its network, and no token by default", () => {
  assert.deepEqual(
    nodeCapabilities.map(({ name, needed }) => [name, needed]),
    [
      ["NET_RAW", false],
      ["NET_ADMIN", true],
    ],
  );
  const { spec } = daemonSet().template;
  const [agent, ...others] = spec.containers;
  assert.deepEqual(others, []);
  assert.deepEqual(agent.securityContext, {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"], add: ["NET_RAW", "NET_ADMIN"] },
  });
  assert.equal(spec.hostNetwork, true);
  assert.equal(spec.hostPID ?? spec.hostIPC, undefined);
  assert.equal(spec.automountServiceAccountToken, false);
  const kinds = spec.volumes.map((volume: object) => Object.keys(volume).toSorted());
  assert.deepEqual(kinds, [
    ["configMap", "name"],
    ["emptyDir", "name"],
    ["emptyDir", "name"],
    ["name", "projected"],
    ["name", "projected"],
  ]);
  const privileged = spec.initContainers.map((container: { readonly args: readonly string[] }) =>
    container.args.at(-1),
  );
  assert.deepEqual(privileged, ["--init-only"], "the only privileged container ends by itself");
});

test("an update starts the new agent first, and the old one's connections have time to end", async () => {
  const { updateStrategy, template } = daemonSet();
  assert.equal(updateStrategy.rollingUpdate.maxUnavailable, 0);
  const { terminationGracePeriodSeconds, containers } = template.spec;
  // The scheduler takes a declared port of the host network for its own: no second Pod would fit.
  assert.deepEqual(
    containers.map(({ ports }: { readonly ports?: unknown }) => ports),
    [undefined],
  );
  const [, node] = documentsOf(parse(text("kustomize/base/config-map.yaml")).data["config.yaml"]);
  const { drainTimeout, adminSocket } = asRecord(asRecord(node)["proxy"]);
  assert.ok(terminationGracePeriodSeconds > Number.parseInt(String(drainTimeout), 10));
  const command = containers[0].startupProbe.exec.command.at(-1);
  assert.ok(command.includes(adminSocket), "it is started once it serves its own socket");
});

test("SECURITY.md names every capability", async () => {
  const security = await readFile(join(import.meta.dirname, "../SECURITY.md"), "utf8");
  const table = /<!-- capabilities: begin -->([^]*)<!-- capabilities: end -->/.exec(security)?.[1];
  const named = [...(table ?? "").matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  assert.deepEqual(
    named,
    nodeCapabilities.map(({ name }) => name),
  );
});

test("innermesh takes the configuration file without a warning", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "manifests-"));
  t.after(() => rm(folder, { recursive: true }));
  const config = join(folder, "config.yaml");
  const { data } = parse(text("kustomize/base/config-map.yaml"));
  await writeFile(config, data["config.yaml"]);
  const innermesh = join(import.meta.dirname, "../bin/innermesh");
  const written = join(folder, "written.yaml");
  const flags = ["node", `--config=${config}`, `--write-config-to=${written}`];
  const { stderr } = await run(innermesh, flags);
  assert.doesNotMatch(stderr, /warn|not|unknown|ignored/i);
  assert.match(await readFile(written, "utf8"), /oomScoreAdj: -997/);
});

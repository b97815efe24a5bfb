// The definitions of policies on a real API server: what it takes, our parsers read without a
// problem; what is wrong is refused with a sentence that says how to mend it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { parseMeshPolicy } from "../../lib/kube/api/mesh-policy.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import { policyDefinitions } from "../../manifests/source/policy-crds.ts";
import { ROOT } from "../../scripts/steps.ts";
import { eventually } from "./answers.ts";
import type { ApplyObject } from "./api-client.ts";
import { ensureNamespace } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";

const run = promisify(execFile);
const CLUSTER_POLICIES = "sigs.k8s.io/network-policy-api@v0.2.0";

const account = (spec: object): ApplyObject => ({
  apiVersion: "innermesh.io/v1alpha1",
  kind: "ServiceAccountPolicy",
  metadata: { namespace: "shop", name: "web" },
  spec: { podSelector: {}, ...spec },
});
const mesh = (spec: object, name = "default"): ApplyObject => ({
  apiVersion: "innermesh.io/v1alpha1",
  kind: "MeshPolicy",
  metadata: { name },
  spec,
});
const from = (...peers: readonly object[]): ApplyObject => account({ ingress: [{ from: peers }] });
const called = (...accounts: readonly object[]): ApplyObject => from({ serviceAccounts: accounts });
const ports = (...list: readonly object[]): ApplyObject => account({ ingress: [{ ports: list }] });
const http = (...list: readonly object[]): ApplyObject => account({ ingress: [{ http: list }] });
const path = (type: string, value: string): ApplyObject => http({ path: { type, value } });

const taken: readonly ApplyObject[] = [
  account({ serviceAccounts: ["web"], podSelector: undefined, action: "Deny", ingress: [{}] }),
  account({ policyTypes: ["Ingress", "Egress"], egress: [{ to: [{ podSelector: {} }] }] }),
  from({ namespaceSelector: {} }, { ipBlock: { cidr: "fd00::/8", except: ["fd00:1::/32"] } }),
  called({}, { name: "a", namespace: "b" }, { namespaceSelector: {}, selector: {} }),
  called({ name: "a", trustDomain: "east.example" }),
  ports({ protocol: "SCTP" }, { port: 80, endPort: 80 }, { port: "8-a" }, { port: 65_535 }),
  http({ methods: ["GET"], hosts: ["*.a.example"], headers: [{ name: "X-A" }] }),
  account({ ingress: [{ name: "für \u2192 all" }] }),
  path("Exact", "/"),
  path("Exact", "/a%20b/"),
  path("Prefix", "/a/"),
  path("Template", "/{*}/a/{**}"),
  path("Template", "/a/{*}"),
  account({ ingress: [{ grpc: [{ service: "a.B", method: "C" }], ports: [{ port: 80 }] }] }),
  mesh({ default: "Deny", exceptions: [{ namespaces: ["a"] }, { namespaceSelector: {} }] }),
];

const refused: readonly (readonly [ApplyObject, RegExp])[] = [
  [account({ podSelector: undefined }), /want podSelector or serviceAccounts/],
  [account({ serviceAccounts: [] }), /at least 1 items/],
  [account({ action: "Log" }), /Unsupported value: "Log"/],
  [account({ policyTypes: ["In"] }), /Unsupported value: "In"/],
  [account({ ingress: [{ name: "a\u001b[2J" }] }), /ingress\[0\]\.name: .*should match/],
  [account({ ingress: [{ name: "a\nb" }] }), /ingress\[0\]\.name: .*should match/],
  [account({ egress: [{ http: [{ methods: ["GET"] }] }] }), /egress\[0\]\.http/],
  [from({}), /want selectors, ipBlock or serviceAccounts/],
  [from({ podSelector: {}, ipBlock: { cidr: "10.0.0.0/8" } }), /and only one of them/],
  [from({ podSelector: {}, serviceAccounts: [{}] }), /and only one of them/],
  [from({ ipBlock: { cidr: "10.0.0.0" } }), /want a prefix like/],
  [from({ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] } }), /want prefixes inside cidr/],
  [called(), /at least 1 items/],
  [called({ name: "A" }), /should match/],
  [called({ namespace: "a", namespaceSelector: {} }), /want one of namespace and its selector/],
  [called({ trustDomain: "x", selector: {} }), /labels are not known there/],
  [ports({ protocol: "tcp" }), /Unsupported value: "tcp"/],
  [ports({ port: 0 }), /greater than or equal to 1/],
  [ports({ port: "80" }), /should match/],
  [ports({ port: "a--b" }), /should match/],
  [ports({ port: 80, endPort: 79 }), /want endPort from port on/],
  [ports({ port: "http", endPort: 80 }), /want endPort from port on/],
  [http({}), /at least 1 properties/],
  [http({ methods: ["get"] }), /should match/],
  [path("Exact", "/a/../b"), /want a path without/],
  [path("Exact", "/a//b"), /want a path without/],
  [path("Exact", "a"), /should match/],
  [path("Exact", "/{*}"), /in templates alone/],
  [path("Template", "/{**}/a"), /the last/],
  [path("Template", "/a{*}"), /as whole segments/],
  [
    account({ ingress: [{ http: [{ methods: ["GET"] }], ports: [{ protocol: "UDP" }] }] }),
    /want TCP ports alone/,
  ],
  [mesh({}), /default: Required value/],
  [mesh({ default: "Open" }, "other"), /want the name default/],
  [mesh({ default: "Open", exceptions: [{}] }), /want namespaces or namespaceSelector/],
];

suite("definitions of policies", () => {
  let controlPlane: ControlPlane;

  before(async () => {
    controlPlane = await startControlPlane({ controllers: [] });
    const { admin } = controlPlane;
    for (const { object } of policyDefinitions) await admin.apply(object);
    const { stdout } = await run("go", ["mod", "download", "-json", CLUSTER_POLICIES]);
    const { Dir: top } = JSON.parse(stdout) as { readonly Dir: string };
    const file = "policy.networking.k8s.io_clusternetworkpolicies.yaml";
    await admin.applyYaml(await readFile(join(top, "config/crd/experimental", file), "utf8"));
    for (const namespace of ["shop", "data"]) await ensureNamespace(admin, namespace);
    // A definition is served a moment after it is there.
    await eventually(async () => {
      await judge(mesh({ default: "Open" }));
      await judge(account({}));
      await admin.request("GET", "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies");
    });
  });
  after(() => controlPlane[Symbol.asyncDispose]());

  const judge = async (object: ApplyObject): Promise<unknown> => {
    const { admin } = controlPlane;
    const where = await admin.pathOf(object);
    const strict = "fieldManager=innermesh-test&force=true&dryRun=All&fieldValidation=Strict";
    return admin.request("PATCH", `${where}?${strict}`, object, "application/apply-patch+yaml");
  };

  for (const object of taken) {
    test(`${JSON.stringify(object["spec"])} is taken, and read without a problem`, async () => {
      const answer = await judge(object);
      const parse = object.kind === "MeshPolicy" ? parseMeshPolicy : parseServiceAccountPolicy;
      for (const value of [object, answer]) {
        const parsed = parse(value);
        assert(parsed.kind === "ok");
        assert.deepEqual(parsed.problems, []);
      }
    });
  }

  for (const [object, why] of refused) {
    test(`${JSON.stringify(object["spec"])} is refused`, async () => {
      await assert.rejects(judge(object), why);
    });
  }

  test("it takes the example policies", async () => {
    const folder = join(ROOT, "examples/policy");
    for (const file of (await readdir(folder)).filter((name) => name !== "cluster.yaml")) {
      for (const document of parseAllDocuments(await readFile(join(folder, file), "utf8"))) {
        await judge(document.toJS() as ApplyObject);
      }
    }
  });

  test("a status is its own resource", async () => {
    const { admin } = controlPlane;
    const object = account({ action: "Deny" });
    await admin.apply(object);
    const where = await admin.pathOf(object);
    const condition = {
      type: "Enforced",
      status: "True",
      reason: "OnAllNodes",
      message: "",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    const nodes = { enforced: 2, total: 2 };
    const status = { observedGeneration: 1, selectedPods: 7, nodes, conditions: [condition] };
    await admin.request("PATCH", `${where}/status`, { status });
    const { status: written } = await admin.request<{ readonly status: unknown }>("GET", where);
    assert.deepEqual(written, status);
  });
});

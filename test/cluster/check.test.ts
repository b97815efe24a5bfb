// `innermesh check` against a real API server: what it asks, with credentials that may and may not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { CheckReport } from "../../cli/check/checks.ts";
import { accessManifests } from "../../manifests/source/access.ts";
import { registerNode } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { applyGatewayDefinitions } from "./gateway-api.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const NAMESPACE = "kube-system";

suite("innermesh check, asking an API server", () => {
  let controlPlane: ControlPlane;

  const bind = (name: string, role: string): Promise<unknown> =>
    controlPlane.admin.apply({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
      subjects: [{ kind: "ServiceAccount", namespace: NAMESPACE, name: "agent" }],
    });

  before(async () => {
    controlPlane = await startControlPlane({ controllers: [] });
    const { admin } = controlPlane;
    await registerNode(admin, {
      name: "node-1",
      addresses: ["192.0.2.11"],
      podCIDRs: ["10.71.1.0/24", "fd71:0:0:1::/64"],
    });
    for (const name of ["agent", "stranger"]) {
      await admin.apply({
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { namespace: NAMESPACE, name },
      });
    }
    await bind("check-agent", "system:node-proxier");
  });
  after(() => controlPlane[Symbol.asyncDispose]());

  test("a node-proxier may do what is needed, and routes are told to be missing", async () => {
    const cluster = await checkCluster(controlPlane, "agent");
    const red = [...cluster].filter(([, status]) => status !== "ok");
    assert.deepEqual(red, [
      ["cluster.access", "warn"],
      ["gateway.definitions", "warn"],
    ]);
    assert.equal(cluster.size, 9);
  });

  test("the agent's own role and the Gateway API's definitions make all of the cluster green", async () => {
    const { admin } = controlPlane;
    const role = accessManifests.find(({ object }) => object.kind === "ClusterRole");
    assert.ok(role);
    await admin.apply(role.object);
    await bind("check-routes", role.object.metadata.name);
    await applyGatewayDefinitions(admin);
    const asAgent = await checkCluster(controlPlane, "agent");
    const red = [...asAgent].filter(([, status]) => status !== "ok");
    assert.deepEqual(red, [["gateway.definitions", "skip"]], "the agent may not read definitions");
    const asAdmin = statuses(await check(`--kubeconfig=${await controlPlane.kubeconfig("admin")}`));
    assert.equal(asAdmin.get("gateway.definitions"), "ok");
  });

  test("a route that leads nowhere is found", async () => {
    await controlPlane.admin.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { namespace: "default", name: "lost" },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name: "kubernetes" }],
        rules: [{ backendRefs: [{ name: "gone", port: 80 }] }],
      },
    });
    const report = await check(`--kubeconfig=${await controlPlane.kubeconfig("admin")}`);
    const routes = report.results.find(({ id }) => id === "gateway.routes");
    assert.match(routes?.message ?? "", /HTTPRoute default\/lost: .*BackendNotFound/);
  });

  test("credentials without a role are told what they may not do, at once", async () => {
    const cluster = await checkCluster(controlPlane, "stranger");
    assert.equal(cluster.get("cluster.access"), "fail");
    assert.equal(cluster.get("cluster.source"), "fail");
    assert.equal(cluster.get("cluster.version"), "ok");
  });

  test("an API server that is gone fails the source and leaves the rest unasked", async () => {
    const kubeconfig = await controlPlane.kubeconfig("admin");
    await controlPlane.stopApiserver();
    const report = await check(`--kubeconfig=${kubeconfig}`);
    const cluster = statuses(report);
    assert.equal(cluster.get("cluster.source"), "fail");
    assert.equal(cluster.get("cluster.access"), "skip");
    assert.equal(cluster.get("cluster.clock-skew"), "skip");
  });
});

/** @returns status by check, of the checks that ask the cluster */
async function checkCluster(
  controlPlane: ControlPlane,
  account: string,
): Promise<ReadonlyMap<string, string>> {
  const user = { serviceAccount: { namespace: NAMESPACE, name: account } };
  return statuses(await check(`--kubeconfig=${await controlPlane.kubeconfig(user)}`));
}

function statuses({ results }: CheckReport): ReadonlyMap<string, string> {
  const asked = ["cluster", "gateway"];
  const own = results.filter(({ category }) => asked.includes(category));
  return new Map(own.map(({ id, status }) => [id, status]));
}

function check(...flags: string[]): Promise<CheckReport> {
  const words = ["--disable-warning=ExperimentalWarning", MAIN, "check", "--pre", "-o", "json"];
  return new Promise((resolve, reject) => {
    const all = [...words, "--node=node-1", "--detect-local-mode=NodeCIDR", ...flags];
    execFile(process.execPath, all, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as CheckReport);
      } catch (cause) {
        reject(new Error(`Cannot read what check says: ${stderr}${stdout}`, { cause }));
      }
    });
  });
}

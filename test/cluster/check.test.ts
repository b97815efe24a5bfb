// `innermesh check` against a real API server: what it asks, with credentials that may and may not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { CheckReport } from "../../cli/check/checks.ts";
import { registerNode } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const NAMESPACE = "kube-system";

suite("innermesh check, asking an API server", () => {
  let controlPlane: ControlPlane;

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
    await admin.apply({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "check-agent" },
      roleRef: {
        apiGroup: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        name: "system:node-proxier",
      },
      subjects: [{ kind: "ServiceAccount", namespace: NAMESPACE, name: "agent" }],
    });
  });
  after(() => controlPlane[Symbol.asyncDispose]());

  test("a node-proxier may do all that the agent does, and all of the cluster is green", async () => {
    const cluster = await checkCluster(controlPlane, "agent");
    const red = [...cluster].filter(([, status]) => status !== "ok");
    assert.deepEqual(red, []);
    assert.equal(cluster.size, 7);
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
  const own = results.filter(({ category }) => category === "cluster");
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

// The fixture keeps its promises: real controllers act on what tests write, history can be lost,
// roles are enforced, and nothing stays behind.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CoreV1Api, KubeConfig, type V1EndpointSlice } from "@kubernetes/client-node";
import { type ApiClient, ApiError } from "./api-client.ts";
import {
  createService,
  deletePod,
  ensureServiceAccount,
  putPod,
  registerNode,
  waitForSlices,
} from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";

/** Lines `10.244.1.5 ready`, sorted, with the conditions that hold. */
function endpointLines(slices: readonly V1EndpointSlice[]): readonly string[] {
  const lines = slices.flatMap((slice) =>
    (slice.endpoints ?? []).map(({ addresses, conditions }) => {
      const holding = Object.entries(conditions ?? {}).filter(([, holds]) => holds === true);
      return [...addresses, ...holding.map(([name]) => name).toSorted()].join(" ");
    }),
  );
  return lines.toSorted();
}

suite("control plane", () => {
  let controlPlane: ControlPlane;
  let admin: ApiClient;

  before(async () => {
    controlPlane = await startControlPlane();
    admin = controlPlane.admin;
    await registerNode(admin, {
      name: "node-1",
      addresses: ["192.0.2.11", "2001:db8::11"],
      podCIDRs: ["10.244.1.0/24", "fd44:1::/64"],
      labels: { "topology.kubernetes.io/zone": "a" },
    });
  });
  after(async () => controlPlane[Symbol.asyncDispose]());

  test("a Service gets slices of its Pods, both families, ready as status says", async () => {
    const pod = { nodeName: "node-1", labels: { app: "web" } };
    await putPod(admin, { ...pod, name: "web-1", podIPs: ["10.244.1.5", "fd44:1::5"] });
    await putPod(admin, {
      ...pod,
      name: "web-2",
      podIPs: ["10.244.1.6", "fd44:1::6"],
      ready: false,
    });
    const service = await createService(admin, {
      name: "web",
      spec: {
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: 8080 }],
        ipFamilyPolicy: "PreferDualStack",
      },
    });
    assert.deepEqual(service.spec?.ipFamilies, ["IPv4", "IPv6"]);
    const slices = await waitForSlices(
      admin,
      "default",
      "web",
      (found) => endpointLines(found).length === 4,
    );
    assert.deepEqual(endpointLines(slices), [
      "10.244.1.5 ready serving",
      "10.244.1.6",
      "fd44:1::5 ready serving",
      "fd44:1::6",
    ]);
    const [first] = slices.flatMap((slice) => slice.endpoints ?? []);
    assert.deepEqual([first?.nodeName, first?.zone], ["node-1", "a"]);
    assert.equal(slices[0]?.ports?.[0]?.port, 8080);
  });

  test("a Pod deleted with grace stays as terminating, without grace it goes", async () => {
    await deletePod(admin, "default", "web-1", 30);
    const shows = (line: string, holds: boolean) => (slices: readonly V1EndpointSlice[]) =>
      endpointLines(slices).includes(line) === holds;
    const terminating = "10.244.1.5 serving terminating";
    await waitForSlices(admin, "default", "web", shows(terminating, true));
    await deletePod(admin, "default", "web-1");
    await waitForSlices(admin, "default", "web", shows(terminating, false));
  });

  test("a service account may do what its roles say and nothing else", async () => {
    await ensureServiceAccount(admin, "default", "reader");
    const file = await controlPlane.kubeconfig({
      serviceAccount: { namespace: "default", name: "reader" },
    });
    const config = new KubeConfig();
    config.loadFromFile(file);
    const core = config.makeApiClient(CoreV1Api);
    await assert.rejects(core.listNode(), /system:serviceaccount:default:reader.*cannot list/);
    await admin.applyYaml(READER_ROLE);
    const nodes = await core.listNode();
    assert.deepEqual(
      nodes.items.map((node) => node.metadata?.name),
      ["node-1"],
    );
    await assert.rejects(core.listNamespace(), /cannot list/);
  });

  test("after compaction a restarted API server answers an old watch with 410", async () => {
    const list = await admin.request("GET", "/api/v1/services");
    const version = (list.metadata as { resourceVersion: string }).resourceVersion;
    for (const name of ["late-1", "late-2"]) {
      await createService(admin, { name, spec: { ports: [{ port: 80 }] } });
    }
    await controlPlane.compact();
    const { url } = controlPlane;
    await controlPlane.restartApiserver();
    assert.equal(controlPlane.url, url);
    const watch = `/api/v1/services?watch=1&timeoutSeconds=2&resourceVersion=${version}`;
    const event = await admin.request<{ type: string; object: { code: number } }>("GET", watch);
    assert.deepEqual([event.type, event.object.code], ["ERROR", 410]);
  });

  test("a refused request says what was asked and why not", async () => {
    await assert.rejects(
      admin.request("GET", "/api/v1/nodes/nowhere"),
      (error: unknown) =>
        error instanceof ApiError &&
        error.status === 404 &&
        /Cannot GET \/api\/v1\/nodes\/nowhere/.test(error.message),
    );
  });
});

test("nothing outlives a killed test process", async () => {
  const script = join(import.meta.dirname, "testdata", "start-and-wait.ts");
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const pids = line.trim().split(" ");
  assert.ok(pids.length === 2 && pids.every((pid) => existsSync(`/proc/${pid}`)), line);
  child.kill("SIGKILL");
  await once(child, "exit");
  for (let waits = 0; pids.some((pid) => existsSync(`/proc/${pid}`)); waits += 1) {
    assert.ok(waits < 100, `still running after 5 s: ${pids.join(" ")}`);
    await delay(50);
  }
});

test("disposal ends the programs and removes their files", async () => {
  const controlPlane = await startControlPlane({ controllers: [] });
  const pid = controlPlane.pid("etcd");
  assert.ok(pid !== undefined && existsSync(controlPlane.directory));
  await controlPlane[Symbol.asyncDispose]();
  assert.equal(controlPlane.pid("etcd"), undefined);
  assert.equal(existsSync(`/proc/${pid}`), false);
  assert.equal(existsSync(controlPlane.directory), false);
});

const READER_ROLE = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: node-reader }
rules: [{ apiGroups: [""], resources: [nodes], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: node-reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: node-reader }
subjects: [{ kind: ServiceAccount, namespace: default, name: reader }]
`;

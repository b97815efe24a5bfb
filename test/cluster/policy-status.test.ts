// `innermesh controller` and policies on a real API server, with the rights of its manifests: what
// is wrong with a policy, whom it selects and where it holds stands in its status.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { appliedFiles, applyPath } from "../../manifests/apply-contract.ts";
import { formatEnforcement } from "../../netpol-identity/model/enforcement-report.ts";
import { makeHealthHandler } from "../../service-proxy/apply/health-server.ts";
import { type HttpListener, listenHttp } from "../../service-proxy/apply/http-listener.ts";
import { eventually } from "./answers.ts";
import type { ApiClient, ApplyObject } from "./api-client.ts";
import { putPod, registerNode } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { ControllerProcess } from "./controller-process.ts";

const NAMESPACE = "innermesh-system";
const PORT = 10256;
const NODES = [
  { name: "node-a", address: "127.20.6.1" },
  { name: "node-b", address: "127.20.6.2" },
] as const;
/** A missing kind is looked for again within 40 s; rounds take 10 s. */
const LIMIT_MS = 60_000;

interface Status {
  readonly observedGeneration?: number;
  readonly selectedPods?: number;
  readonly nodes?: { readonly enforced: number; readonly total: number };
  readonly lastError?: string;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

const account = (name: string, spec: object): ApplyObject => ({
  apiVersion: "innermesh.io/v1alpha1",
  kind: "ServiceAccountPolicy",
  metadata: { namespace: "shop", name },
  spec: { podSelector: { matchLabels: { app: "web" } }, ...spec },
});

suite("statuses of policies", () => {
  let controlPlane: ControlPlane;
  let admin: ApiClient;
  let controller: ControllerProcess;
  const agents: HttpListener[] = [];
  /** What agents say that they hold, by uid. */
  const held = new Map<string, number>();
  const problems: string[] = [];

  before(async () => {
    controlPlane = await startControlPlane({ controllers: [] });
    ({ admin } = controlPlane);
    await install(admin);
    for (const { name, address } of NODES) {
      await registerNode(admin, { name, addresses: [address], podCIDRs: [] });
      await putPod(admin, {
        name: `agent-${name}`,
        namespace: "kube-system",
        labels: { "innermesh.io/tunnel": "none" },
        nodeName: name,
        podIPs: [address],
        hostNetwork: true,
      });
      agents.push(await listenHttp({ host: address, port: PORT }, agent()));
    }
    const web = { namespace: "shop", labels: { app: "web" }, nodeName: "node-a" };
    await putPod(admin, { ...web, name: "web-1", podIPs: ["10.1.0.1"] });
    await putPod(admin, { ...web, name: "web-2", podIPs: ["10.1.0.2"] });
    const serviceAccount = { namespace: NAMESPACE, name: "innermesh-controller" };
    controller = await ControllerProcess.start(await controlPlane.kubeconfig({ serviceAccount }));
    await eventually(async () => assert.equal(await controller.leads(), true), LIMIT_MS);
  });
  after(async () => {
    await controller[Symbol.asyncDispose]();
    for (const listener of agents) await listener.close();
    await controlPlane[Symbol.asyncDispose]();
  });

  /** An agent as far as the controller sees it. */
  const agent = () => {
    const report = (): string => formatEnforcement({ policies: held, problems });
    return makeHealthHandler({
      state: () => assert.fail("nobody asks for its health"),
      enforcement: { report, revision: report },
    });
  };

  const statusOf = async (object: ApplyObject): Promise<Status> => {
    const path = await admin.pathOf(object);
    return (await admin.request<{ readonly status?: Status }>("GET", path)).status ?? {};
  };
  const says = (object: ApplyObject, want: Readonly<Record<string, string>>): Promise<Status> =>
    eventually(async () => {
      const status = await statusOf(object);
      const said = status.conditions?.map((one) => [one.type, `${one.status} ${one.reason}`]);
      assert.deepEqual(Object.fromEntries(said ?? []), want);
      return status;
    }, LIMIT_MS);

  test("a good policy: whom it selects, and that it holds once every agent says so", async () => {
    const good = account("good", { ingress: [] });
    await admin.apply(good);
    const before = await says(good, { Accepted: "True Accepted", Enforced: "False OnNoNode" });
    assert.deepEqual(before.nodes, { enforced: 0, total: 2 });
    assert.equal(before.selectedPods, 2);
    const { metadata } = await admin.request<{
      readonly metadata: { readonly uid: string; readonly generation: number };
    }>("GET", await admin.pathOf(good));
    held.set(metadata.uid, metadata.generation);
    const after = await says(good, { Accepted: "True Accepted", Enforced: "True OnAllNodes" });
    assert.deepEqual([after.nodes, after.observedGeneration], [{ enforced: 2, total: 2 }, 1]);
  });

  test("a changed spec is not enforced until the agents follow; a node's error is told", async () => {
    const changed = account("good", { action: "Deny", ingress: [{}] });
    await admin.apply(changed);
    await says(changed, { Accepted: "True Accepted", Enforced: "False OnNoNode" });
    problems.push("no room");
    await eventually(async () => {
      assert.match((await statusOf(changed)).lastError ?? "", /^node-[ab]: no room$/);
    }, LIMIT_MS);
    problems.length = 0;
    await eventually(async () => {
      assert.equal((await statusOf(changed)).lastError, undefined);
    }, LIMIT_MS);
  });

  test("a policy that the server takes and we do not understand is told why", async () => {
    // From here on the server checks it no more: as with a definition from another release.
    const name = "serviceaccountpolicies.innermesh.io";
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
    const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    const definition = await admin.request<{
      readonly spec: { readonly versions: readonly object[] };
    }>("GET", path);
    const [version] = definition.spec.versions;
    const versions = [{ ...version, schema: { openAPIV3Schema: open } }];
    await admin.request("PATCH", path, { spec: { versions } });
    const bad = account("bad", { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0" } }] }] });
    await eventually(() => admin.apply(bad));
    const status = await says(bad, { Accepted: "False Invalid", Enforced: "False OnNoNode" });
    const accepted = status.conditions?.find(({ type }) => type === "Accepted");
    assert.match(accepted?.message ?? "", /^spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr: want /);
  });
});

/** The controller's ServiceAccount and rights, and the definitions of policies. */
async function install(admin: ApiClient): Promise<void> {
  const objects = appliedFiles()
    .filter(({ path }) => /^kustomize\/base\/(controller|crd)-/.test(path))
    .flatMap((applied) => applied.objects)
    .filter(({ kind }) => kind !== "Deployment");
  const namespaces = objects.filter(({ kind }) => kind === "Namespace");
  for (const object of new Set([...namespaces, ...objects])) {
    const path = `${applyPath(object)}?fieldManager=innermesh-test&force=true`;
    await admin.request("PATCH", path, object, "application/apply-patch+yaml");
  }
}

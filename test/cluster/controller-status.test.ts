// `innermesh controller` on a real API server, with the rights of its manifests and no more: what
// becomes of routes stands in their status, whoever else writes there, whoever of two leads.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { appliedFiles, applyPath } from "../../manifests/apply-contract.ts";
import type { ManifestObject } from "../../manifests/source/manifest.ts";
import { MESH_FEATURES } from "../../service-proxy/model/mesh-features.ts";
import { eventually } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { createService } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { ControllerProcess } from "./controller-process.ts";
import { applyGatewayDefinitions } from "./gateway-api.ts";

const OURS = "innermesh.io/gateway";
const THEIRS = "example.com/other";
const NAMESPACE = "innermesh-system";
const GATEWAY = "gateway.networking.k8s.io/v1";
const ROUTES = `/apis/${GATEWAY}/namespaces/default/httproutes`;
/** A missing API is looked for again within 40 s. */
const INSTALL_LIMIT_MS = 60_000;
/** A lease lasts 15 s; who waits for it asks every 2 to 5 s. */
const TAKEOVER_LIMIT_MS = 30_000;
interface Parent {
  readonly parentRef: { readonly name: string };
  readonly controllerName: string;
  readonly conditions: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly observedGeneration: number;
    readonly lastTransitionTime: string;
  }[];
}

interface Audited {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string };
  readonly responseStatus: { readonly code: number };
}

suite("controller", () => {
  let controlPlane: ControlPlane;
  let admin: ApiClient;
  /** By the ServiceAccount that each acts as. */
  const controllers = new Map<string, ControllerProcess>();

  before(async () => {
    controlPlane = await startControlPlane({
      controllers: [],
      apiserverFlags: {
        "audit-policy-file": join(import.meta.dirname, "testdata/audit-controllers.yaml"),
        // To the API server's own log.
        "audit-log-path": "-",
      },
    });
    ({ admin } = controlPlane);
    await installAccess(admin);
    await createService(admin, { name: "web", spec: { ports: [{ port: 80 }] } });
  });
  after(async () => {
    for (const controller of controllers.values()) await controller[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
  });

  async function startController(name: string): Promise<ControllerProcess> {
    const serviceAccount = { namespace: NAMESPACE, name };
    const controller = await ControllerProcess.start(
      await controlPlane.kubeconfig({ serviceAccount }),
    );
    controllers.set(name, controller);
    await eventually(async () => assert.equal((await controller.get("/readyz")).status, 200));
    return controller;
  }

  function putRoute(name: string, backend: string, parent = "web"): Promise<unknown> {
    return admin.apply({
      apiVersion: GATEWAY,
      kind: "HTTPRoute",
      metadata: { name },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name: parent }],
        rules: [{ backendRefs: [{ name: backend, port: 80 }] }],
      },
    });
  }

  async function parentsOf(name: string): Promise<readonly Parent[]> {
    const route = await admin.request<{ status?: { parents?: Parent[] } }>(
      "GET",
      `${ROUTES}/${name}`,
    );
    return route.status?.parents ?? [];
  }

  /** Waits until our entry of a route says this of a condition. */
  function says(name: string, type: string, want: string, limitMs?: number): Promise<Parent> {
    return eventually(async () => {
      const ours = (await parentsOf(name)).find(({ controllerName }) => controllerName === OURS);
      const condition = ours?.conditions.find((one) => one.type === type);
      assert.equal(`${condition?.status} ${condition?.reason}`, want);
      return ours ?? assert.fail();
    }, limitMs);
  }

  /** Every answered request of a controller so far. */
  async function audited(name: string): Promise<readonly Audited[]> {
    const log = await readFile(join(controlPlane.directory, "kube-apiserver.log"), "utf8");
    return log
      .split("\n")
      .filter((line) => line.startsWith('{"kind":"Event"'))
      .map((line): Audited => JSON.parse(line))
      .filter(({ user }) => user.username === `system:serviceaccount:${NAMESPACE}:${name}`);
  }

  async function statusWrites(name: string): Promise<number> {
    const all = await audited(name);
    return all.filter(({ objectRef }) => objectRef?.subresource === "status").length;
  }

  test("without the Gateway API it is healthy and ready; once that is there, routes are told", async () => {
    const controller = await startController("innermesh-controller");
    assert.equal((await controller.get("/healthz")).status, 200);
    await eventually(async () => assert.equal(await controller.leads(), true));
    await applyGatewayDefinitions(admin);
    await eventually(() => putRoute("web", "web"));
    const { conditions } = await says("web", "Accepted", "True Accepted", INSTALL_LIMIT_MS);
    const types = conditions.map(({ type, status }) => `${type} ${status}`);
    assert.deepEqual(types, ["Accepted True", "ResolvedRefs True"]);
  });

  test("a status follows the spec and what it refers to, and tells which spec it is about", async () => {
    const before = await says("web", "ResolvedRefs", "True ResolvedRefs");
    await putRoute("web", "later");
    const broken = await says("web", "ResolvedRefs", "False BackendNotFound");
    const [accepted, resolved] = broken.conditions;
    assert.equal(accepted?.lastTransitionTime, before.conditions[0]?.lastTransitionTime);
    assert.deepEqual([accepted?.observedGeneration, resolved?.observedGeneration], [2, 2]);
    await createService(admin, { name: "later", spec: { ports: [{ port: 80 }] } });
    await says("web", "ResolvedRefs", "True ResolvedRefs");
  });

  test("entries of others stay through our updates, and ours go with the parent", async () => {
    const parentRef = { group: "", kind: "Service", name: "web" };
    const now = new Date().toISOString();
    const condition = { type: "Accepted", status: "True", reason: "Mine", message: "" };
    const conditions = [{ ...condition, lastTransitionTime: now, observedGeneration: 1 }];
    const foreign = { parentRef, controllerName: THEIRS, conditions };
    const parents = [foreign, ...(await parentsOf("web"))];
    await admin.request("PATCH", `${ROUTES}/web/status`, { status: { parents } });
    await putRoute("web", "missing");
    await says("web", "ResolvedRefs", "False BackendNotFound");
    const names = (list: readonly Parent[]) => list.map(({ controllerName }) => controllerName);
    assert.deepEqual(names(await parentsOf("web")), [THEIRS, OURS]);
    await admin.request("PATCH", `${ROUTES}/web`, {
      spec: { parentRefs: [{ name: "some-gateway" }] },
    });
    await eventually(async () => assert.deepEqual(names(await parentsOf("web")), [THEIRS]));
    const [kept] = await parentsOf("web");
    assert.equal(kept?.conditions[0]?.reason, "Mine");
  });

  test("an entry of ours that someone spoils is mended", async () => {
    await putRoute("spoilt", "web");
    await says("spoilt", "Accepted", "True Accepted");
    await admin.request("PATCH", `${ROUTES}/spoilt/status`, { status: { parents: [] } });
    await says("spoilt", "Accepted", "True Accepted");
  });

  test("a mesh of ours is accepted and says what it supports; one of others is left alone", async () => {
    const meshes = "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes";
    for (const [name, controllerName] of [
      ["ours", OURS],
      ["theirs", THEIRS],
    ]) {
      const apiVersion = "gateway.networking.x-k8s.io/v1alpha1";
      await admin.request("POST", meshes, {
        apiVersion,
        kind: "XMesh",
        metadata: { name },
        spec: { controllerName },
      });
    }
    type Mesh = {
      readonly status?: {
        readonly conditions?: readonly { readonly type: string; readonly status: string }[];
        readonly supportedFeatures?: readonly { readonly name: string }[];
      };
    };
    await eventually(async () => {
      const { status } = await admin.request<Mesh>("GET", `${meshes}/ours`);
      assert.equal(status?.conditions?.find(({ type }) => type === "Accepted")?.status, "True");
      const names = status.supportedFeatures?.map(({ name }) => name);
      assert.deepEqual(
        names,
        MESH_FEATURES.map(({ name }) => name),
      );
    });
    const theirs = await admin.request<Mesh>("GET", `${meshes}/theirs`);
    assert.equal(theirs.status?.supportedFeatures, undefined);
  });

  test("nothing is written when nothing changes", async () => {
    await delay(1_000);
    const writes = await statusWrites("innermesh-controller");
    await delay(3_000);
    assert.equal(await statusWrites("innermesh-controller"), writes);
  });

  test("a second one waits, and goes on at once when the first is ended", async () => {
    const [first] = controllers.values();
    const second = await startController("innermesh-controller-b");
    assert.deepEqual([await first?.leads(), await second.leads()], [true, false]);
    await putRoute("before", "web");
    await says("before", "Accepted", "True Accepted");
    assert.equal(await statusWrites("innermesh-controller-b"), 0);
    const { code, log } = (await first?.stop()) ?? assert.fail();
    assert.equal(code, 0, log);
    await putRoute("after", "web");
    await says("after", "Accepted", "True Accepted");
    assert.equal(await second.leads(), true);
    assert.equal(
      await statusWrites("innermesh-controller-b"),
      1,
      "what was right is left as it is",
    );
  });

  test("F11: a leader that is frozen past its lease and thawed writes nothing", async () => {
    const frozen = controllers.get("innermesh-controller-b") ?? assert.fail();
    await startController("innermesh-controller");
    // It finds this in its socket, unread, when it thaws.
    frozen.freeze();
    await putRoute("frozen", "web");
    const writes = await statusWrites("innermesh-controller-b");
    await says("frozen", "Accepted", "True Accepted", TAKEOVER_LIMIT_MS);
    await putRoute("frozen", "missing-too");
    frozen.thaw();
    await says("frozen", "ResolvedRefs", "False BackendNotFound");
    await eventually(async () => assert.equal(await frozen.leads(), false));
    await delay(2_000);
    assert.equal(await statusWrites("innermesh-controller-b"), writes);
  });

  test("its manifests give it all the rights it needs", async () => {
    for (const [name, controller] of controllers) {
      const refused = (await audited(name)).filter(
        ({ responseStatus }) => responseStatus.code === 403,
      );
      assert.deepEqual(refused, []);
      const { code, log } = await controller.stop();
      assert.equal(code, 0, log);
      assert.doesNotMatch(log, /forbidden|cannot write a status/i);
    }
    const events = `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`;
    const { items } = await admin.request<{ items: readonly { reason: string }[] }>("GET", events);
    assert.ok(items.some(({ reason }) => reason === "LeaderElection"));
  });
});

/** The manifests' own access, and the same for a second account: the log tells them apart. */
async function installAccess(admin: ApiClient): Promise<void> {
  const objects = appliedFiles()
    .filter(({ path }) => path.startsWith("kustomize/base/controller-"))
    .flatMap((applied) => applied.objects)
    .filter(({ kind }) => kind !== "Deployment");
  const namespace = objects.filter(({ kind }) => kind === "Namespace");
  const others = objects.filter(({ kind }) => kind !== "Namespace");
  const seconds = others.filter(({ kind }) => /Account$|Binding$/.test(kind)).map(forSecond);
  for (const object of [...namespace, ...others, ...seconds]) {
    const path = `${applyPath(object)}?fieldManager=innermesh-test&force=true`;
    await admin.request("PATCH", path, object, "application/apply-patch+yaml");
  }
}

function forSecond(object: ManifestObject): ManifestObject {
  const metadata = { ...object.metadata, name: `${object.metadata.name}-b` };
  const name = "innermesh-controller-b";
  const subjects = [{ kind: "ServiceAccount", name, namespace: NAMESPACE }];
  return { ...object, metadata, ...("subjects" in object && { subjects }) };
}

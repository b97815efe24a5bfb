// Policies on a real API server: objects are written there, agents of two nodes watch them with the
// rights of the manifests, and real packets show what holds, and how soon.

import assert from "node:assert/strict";
import { after, before, suite, test, type TestContext } from "node:test";
import type { ProbeFailure } from "../../playground/probe-protocol.ts";
import { policyDefinitions } from "../../manifests/source/policy-crds.ts";
import { eventually } from "./answers.ts";
import type { ApplyObject } from "./api-client.ts";
import { ECHO } from "./cluster-fixture.ts";
import { IdentityCluster, SETTLE_LIMIT_MS } from "./identity-rig.ts";

const SERVER = "pod-2-1";
/** Of node-1; they wear the same labels. */
const [FRIEND, NEIGHBOUR] = [1, 2];
const LABELS = { app: "client" };
/** For one look. */
const GLANCE_MS = 300;
const DENIED: ProbeFailure = { kind: "timeout", phase: "connect" };

const network: ApplyObject = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "default", name: "web" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    ingress: [{ from: [{ podSelector: { matchLabels: { role: "friend" } } }] }],
  },
};
const account: ApplyObject = {
  apiVersion: "innermesh.io/v1alpha1",
  kind: "ServiceAccountPolicy",
  metadata: { namespace: "default", name: "web" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    ingress: [{ from: [{ serviceAccounts: [{ name: `pod-1-${FRIEND}` }] }] }],
  },
};

suite("policies of a cluster", () => {
  let mesh: IdentityCluster;

  before(async () => {
    mesh = await IdentityCluster.build("permissive");
    for (const { object } of policyDefinitions) await mesh.admin.apply(object);
    await mesh.startControllers();
    await mesh.startAgents(["--network-policy=enforce"]);
    await mesh.putPod(2, 1);
    for (const number of [FRIEND, NEIGHBOUR]) await putClient(number);
    await mesh.certified(2, 1);
    await mesh.certified(1, 2);
    await served(FRIEND, NEIGHBOUR);
  });
  after(async () => await mesh?.[Symbol.asyncDispose]());

  function putClient(number: number): Promise<void> {
    const pod = mesh.cluster.playground.pod(1, number);
    return mesh.cluster.putPod(pod, { labels: LABELS, serviceAccountName: pod.name });
  }

  async function label(number: number, labels: object): Promise<void> {
    const path = `/api/v1/namespaces/default/pods/pod-1-${number}`;
    await mesh.admin.request("PATCH", path, { metadata: { labels } });
  }

  /** The Service's address, and the server's own. */
  function targets(): readonly { readonly address: string; readonly port: number }[] {
    const { ip, ip6 } = mesh.cluster.playground.pod(2, 1).addresses;
    const direct = [ip, ip6].map((address) => ({ address, port: ECHO.http }));
    return [{ address: mesh.web, port: 80 }, ...direct];
  }

  /** What comes of a call to each of them. */
  function ask(number: number): Promise<readonly unknown[]> {
    const calls = targets().map(async ({ address, port }) => {
      const probe = mesh.cluster.podProbe(1, number);
      const result = await probe.http(address, port, { timeoutMs: GLANCE_MS });
      return result.kind === "reply" ? result.echo?.pod : result;
    });
    return Promise.all(calls);
  }

  /** Waits until these clients reach the server on every way, and the others on none. */
  async function served(...clients: readonly number[]): Promise<void> {
    await eventually(async () => {
      for (const number of [FRIEND, NEIGHBOUR]) {
        const answer = clients.includes(number) ? SERVER : DENIED;
        assert.deepEqual(await ask(number), Array(targets().length).fill(answer), `${number}`);
      }
    }, SETTLE_LIMIT_MS);
  }

  async function timed(t: TestContext, what: string, clients: readonly number[]): Promise<void> {
    const startMs = performance.now();
    await served(...clients);
    t.diagnostic(`${what} after ${Math.round(performance.now() - startMs)} ms`);
  }

  async function remove(object: ApplyObject): Promise<void> {
    await mesh.admin.request("DELETE", await mesh.admin.pathOf(object));
  }

  test("a NetworkPolicy holds once it is written, a label once it is patched", async (t) => {
    await mesh.admin.apply(network);
    await timed(t, "denied", []);
    await label(FRIEND, { role: "friend" });
    await timed(t, "the labelled pod is served", [FRIEND]);
    await label(FRIEND, { role: null });
    await timed(t, "without its label it is denied", []);
    await remove(network);
    await timed(t, "open again", [FRIEND, NEIGHBOUR]);
  });

  test("a ServiceAccountPolicy tells two pods with the same labels apart", async (t) => {
    await mesh.admin.apply(account);
    await timed(t, "one is denied", [FRIEND]);
    await label(NEIGHBOUR, { role: "friend", app: "web-client" });
    await mesh.admin.apply({ ...network, metadata: { namespace: "default", name: "labels" } });
    await label(FRIEND, { role: "friend" });
    // The label lets both in; the account, still one.
    await timed(t, "both policies hold", [FRIEND]);
  });

  test("its status says that every node enforces it", async () => {
    await eventually(async () => {
      const { status } = await mesh.admin.request<{
        readonly status?: { readonly nodes?: object; readonly selectedPods?: number };
      }>("GET", await mesh.admin.pathOf(account));
      assert.deepEqual(status?.nodes, { enforced: 2, total: 2 });
      assert.equal(status.selectedPods, 1);
    }, SETTLE_LIMIT_MS);
  });

  test("policies that are deleted hold no more", async (t) => {
    await remove({ ...network, metadata: { namespace: "default", name: "labels" } });
    await remove(account);
    await timed(t, "open again", [FRIEND, NEIGHBOUR]);
  });

  test("the manifests give agents and controllers all the rights they need", () => {
    const log = [...mesh.agents.values(), ...mesh.replicas].flatMap((one) => one.log);
    assert.deepEqual(
      log.filter((line) => /forbidden/i.test(line)),
      [],
    );
  });
});

// What stands beside ServiceAccountPolicy, with real packets and pods on bridges: labels and accounts
// must both allow, admins come before and after, and the mesh has a default.

import { after, before, describe, test } from "node:test";
import {
  accountPolicy,
  BATCHES,
  callers,
  clusterPolicy,
  FRONTS,
  meshPolicy,
  networkPolicy,
  PLAIN,
  PODS,
  PolicyMesh,
  SILENCE,
} from "./policy-mesh.ts";
import { FAMILIES, until } from "./served-node.ts";

/** Of the agent, on all addresses of its node. */
const HEALTH_PORT = 10_256;
const CLIENTS = { app: "client" };
const OF_CLIENTS = { pods: { namespaceSelector: {}, podSelector: { matchLabels: CLIENTS } } };

describe("all kinds of policies, two callers with the same labels", () => {
  let rig: PolicyMesh;
  before(async () => {
    rig = await PolicyMesh.build({ cni: "bridge" });
  });
  after(() => rig?.[Symbol.asyncDispose]());

  test("NetworkPolicy and ServiceAccountPolicy: both must allow", async () => {
    const fronts = accountPolicy(callers("front"));
    await rig.hold(networkPolicy(CLIENTS));
    await rig.serves(...PODS);
    await rig.hold(networkPolicy(CLIENTS), fronts);
    await rig.serves(...FRONTS);
    await rig.hold(networkPolicy({ app: "other" }), fronts);
    await rig.serves();
  });

  test("ClusterNetworkPolicy stands before and after what teams say", async () => {
    const admin = (action: string) => clusterPolicy("Admin", { action, from: [OF_CLIENTS] });
    const baseline = clusterPolicy("Baseline", { action: "Deny", from: [OF_CLIENTS] });
    const fronts = accountPolicy(callers("front"));
    await rig.hold(admin("Deny"), fronts);
    await rig.serves();
    // It takes the word of labels for whoever proves something; the port stays closed to others.
    await rig.hold(admin("Accept"), fronts);
    await rig.serves(...FRONTS, ...BATCHES);
    await rig.hold(admin("Pass"), fronts);
    await rig.serves(...FRONTS);
    await rig.hold(baseline);
    await rig.serves();
    await rig.hold(baseline, fronts);
    await rig.serves(...FRONTS);
    await rig.hold(baseline, networkPolicy(CLIENTS));
    await rig.serves(...PODS);
  });

  test("a pod calls its own node unless the cluster's admin denies it", async () => {
    const { addresses } = rig.mesh.served.playground.node(1);
    const isCut = (wanted: boolean) => async (): Promise<boolean> => {
      const calls = FAMILIES.map((family) =>
        rig.ask(PLAIN, { address: addresses[family], port: HEALTH_PORT }),
      );
      return (await Promise.all(calls)).every((answer) => (answer === SILENCE) === wanted);
    };
    const team = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { namespace: "default", name: "clients" },
      spec: { podSelector: { matchLabels: CLIENTS }, policyTypes: ["Egress"] },
    };
    const admin = {
      ...clusterPolicy("Admin"),
      spec: {
        tier: "Admin",
        priority: 10,
        subject: OF_CLIENTS,
        egress: [
          { action: "Deny", to: [{ networks: [`${addresses.ip}/32`, `${addresses.ip6}/128`] }] },
        ],
      },
    };
    await rig.hold(team);
    await until("the node", isCut(false));
    await rig.hold(admin);
    await until("silence", isCut(true));
    await rig.hold(admin, team);
    await until("silence still", isCut(true));
    await rig.hold();
    await until("the node again", isCut(false));
  });

  test("MeshPolicy holds where nobody says anything, but for its exceptions", async () => {
    const ofApp = (app: string) => {
      return { namespaces: ["default"], podSelector: { matchLabels: { app } } };
    };
    const deny = (...apps: readonly string[]) =>
      meshPolicy({ default: "Deny", exceptions: apps.map(ofApp) });
    await rig.hold(meshPolicy({ default: "IdentityRequired" }));
    await rig.serves(...FRONTS, ...BATCHES);
    await rig.hold(deny());
    await rig.serves();
    await rig.hold(deny("server"));
    await rig.serves();
    await rig.hold(deny("server", "client"));
    await rig.serves(...PODS);
    await rig.hold(deny("client"), accountPolicy(callers("front")));
    await rig.serves(...FRONTS);
  });
});

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
  PODS,
  PolicyMesh,
} from "./policy-mesh.ts";

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

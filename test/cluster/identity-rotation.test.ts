// Roots change under load, and nobody notices (fault F41): one of our own after another, then a CA
// that a user supplies, then one that cannot be used.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, suite, test } from "node:test";
import {
  type AuthorityMaterial,
  makeRootMaterial,
} from "../../netpol-identity/ca/root-material.ts";
import { asSupplied } from "../../netpol-identity/ca/root-supplied.ts";
import { eventually } from "./answers.ts";
import { AskingPod, IdentityCluster, SYSTEM } from "./identity-rig.ts";

/** Far less than in production, far more than agents need here. */
const SPREAD = "--root-spread=6s";
const LOAD = { ratePerSecond: 20, durationMs: 120_000, timeoutMs: 5_000 } as const;

suite("rotation of roots", () => {
  let mesh: IdentityCluster;

  before(async () => {
    mesh = await IdentityCluster.build("strict");
    await mesh.startControllers([SPREAD]);
    await mesh.startAgents();
    await mesh.putPod(1, 1);
    await mesh.putPod(2, 1);
    await mesh.certified(1);
    await eventually(async () => assert.equal(await mesh.ask(1, 1), "pod-2-1"));
  });
  after(() => mesh[Symbol.asyncDispose]());

  /** Loses nothing of a load between two pods meanwhile. */
  async function underLoad(during: () => Promise<void>): Promise<number> {
    const target = { protocol: "http", address: mesh.web, port: 80 } as const;
    const load = mesh.cluster.podProbe(1, 1).startLoad(target, LOAD);
    await during();
    const { started, failures } = await load.stop();
    assert.deepEqual(failures, []);
    return started;
  }

  /** A pod whose certificate is new talks to one whose certificate is older. */
  async function newcomer(number: number): Promise<void> {
    await mesh.putPod(1, number);
    await using pod = new AskingPod(mesh, 1, number);
    await pod.answered();
  }

  /** Writes the Secret as cert-manager does. */
  async function supply(material: AuthorityMaterial): Promise<void> {
    await mesh.admin.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: SYSTEM, name: "innermesh-ca-user" },
      type: "kubernetes.io/tls",
      stringData: asSupplied(material),
    });
  }

  function makeRoot(): AuthorityMaterial {
    return makeRootMaterial({ trustDomain: "cluster.local", nowMs: Date.now(), randomBytes });
  }

  test("a higher root generation: add, switch, and a root more, with no call lost", async (t) => {
    const before = await mesh.bundle();
    const calls = await underLoad(async () => {
      await mesh.replaceControllers([SPREAD, "--root-generation=1"]);
      await mesh.told("CA rotation", "step=add");
      await eventually(async () => {
        assert.deepEqual(await mesh.bundle(), {
          version: before.version + 1,
          roots: before.roots + 1,
        });
      });
      await newcomer(2);
      await mesh.told("CA rotation", "step=switch");
      await eventually(async () => {
        assert.deepEqual(await mesh.bundle(), {
          version: before.version + 2,
          roots: before.roots + 1,
        });
      });
      await newcomer(3);
    });
    t.diagnostic(`${calls} calls`);
  });

  test("a CA in the user's Secret is taken up by the same steps, without a restart", async (t) => {
    const before = await mesh.bundle();
    const calls = await underLoad(async () => {
      await supply(makeRoot());
      await eventually(async () => {
        assert.deepEqual(await mesh.bundle(), {
          version: before.version + 2,
          roots: before.roots + 1,
        });
      });
      await newcomer(4);
    });
    t.diagnostic(`${calls} calls`);
  });

  test("a Secret that cannot be used is told, and what signed before goes on", async () => {
    const before = await mesh.bundle();
    await supply({ ...makeRoot(), key: makeRoot().key });
    await mesh.told("CA upkeep", "step=supplied", "is not the key of the first certificate");
    await newcomer(5);
    assert.deepEqual(await mesh.bundle(), before);
  });
});

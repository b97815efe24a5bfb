// The CA on a real API server, with the rights of its manifests: who gets which certificate
// (threats T10 to T12), and what becomes of its state (fault F42).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import type { CaFailure } from "../../netpol-identity/apply/ca-client-error.ts";
import { eventually } from "./answers.ts";
import { type ApiClient, ApiError } from "./api-client.ts";
import {
  type AgentOptions,
  CaAgent,
  installCaAccess,
  publishedRoots,
  type RunningCa,
  startCa,
} from "./ca-rig.ts";
import { deletePod, putPod, registerNode } from "./cluster-objects.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";

const run = promisify(execFile);
const SYSTEM = "/api/v1/namespaces/innermesh-system";
const ID = "URI:spiffe://cluster.local/ns/shop/sa/web";
/** The bound for whatever must be refused soon. */
const DENY_LIMIT_MS = 10_000;
/** Two looks of the CA at its objects, with time to spare. */
const ROTATION_LIMIT_MS = 60_000;

suite("certificate authority", () => {
  let controlPlane: ControlPlane;
  let admin: ApiClient;
  let ca: RunningCa;
  let second: RunningCa;
  let folder: string;
  const agents: CaAgent[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ca-signing-"));
    controlPlane = await startControlPlane({
      controllers: [],
      apiserverFlags: {
        "feature-gates": "WatchList=true,ClusterTrustBundle=true",
        "runtime-config": "certificates.k8s.io/v1beta1=true",
      },
    });
    ({ admin } = controlPlane);
    await installCaAccess(admin);
    for (const name of ["node-a", "node-b"]) {
      await registerNode(admin, { name, addresses: ["192.0.2.1"], podCIDRs: ["10.244.0.0/24"] });
    }
    await putWeb("web-1", "node-a");
    [ca, second] = await Promise.all([
      startCa(controlPlane),
      startCa(controlPlane, { leads: false }),
    ]);
  });
  after(async () => {
    for (const agent of agents) await agent[Symbol.asyncDispose]();
    await Promise.all([ca, second].map((replica) => replica[Symbol.asyncDispose]()));
    await controlPlane[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function putWeb(name: string, nodeName: string): Promise<unknown> {
    const pod = { namespace: "shop", serviceAccountName: "web", podIPs: ["10.244.0.5"] };
    return putPod(admin, { name, nodeName, ...pod });
  }

  async function startAgent(options: AgentOptions, replica = ca): Promise<CaAgent> {
    const agent = await CaAgent.start(admin, replica, options);
    agents.push(agent);
    return agent;
  }

  /** Waits until the CA has seen what there is. */
  function signed(agent: CaAgent, account = "shop/web"): Promise<X509Certificate> {
    return eventually(async () => {
      const { chain } = await agent.sign(account);
      return new X509Certificate(chain[0] ?? "");
    });
  }

  async function denied(
    agent: CaAgent,
    code: CaFailure,
    words: RegExp,
    account = "shop/web",
  ): Promise<void> {
    await eventually(async () => {
      await assert.rejects(agent.sign(account), (error: Error & { readonly code: CaFailure }) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, words);
        return true;
      });
    }, DENY_LIMIT_MS);
  }

  test("two replicas at a first start agree on one root, and publish it twice", async () => {
    const roots = await eventually(() => publishedRoots(admin));
    assert.equal(roots.length, 1);
    const root = new X509Certificate(roots[0] ?? "");
    for (const replica of [ca, second]) {
      const leaf = await signed(await startAgent({ node: "node-a" }, replica));
      assert.ok(leaf.verify(root.publicKey));
    }
    const path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles/innermesh-trust-bundle";
    await eventually(async () => {
      const bundle = await admin.request<{ spec: { trustBundle: string } }>("GET", path);
      assert.equal(bundle.spec.trustBundle, roots.join(""));
    });
    const problems = [...ca.lines, ...second.lines].filter(
      ({ message }) => message === "CA upkeep",
    );
    assert.deepEqual(problems, []);
  });

  test("openssl verifies what is signed against the published roots", async () => {
    const agent = await startAgent({ node: "node-a" });
    const leaf = await signed(agent);
    assert.equal(leaf.subjectAltName, ID);
    await writeFile(join(folder, "leaf.pem"), leaf.toString());
    await writeFile(join(folder, "roots.pem"), (await publishedRoots(admin)).join(""));
    const args = ["verify", "-x509_strict", "-CAfile", "roots.pem", "leaf.pem"];
    const { stdout } = await run("openssl", args, { cwd: folder });
    assert.match(stdout, /leaf.pem: OK/);
  });

  test("T10: a node gets no identity whose pods are elsewhere, nor after the last one left", async () => {
    const [here, elsewhere] = [
      await startAgent({ node: "node-a" }),
      await startAgent({ node: "node-b" }),
    ];
    await signed(here);
    await denied(elsewhere, "permission-denied", /No pod of .*shop\/sa\/web/);
    await denied(here, "permission-denied", /No pod of/, "kube-system/other");
    await putWeb("web-2", "node-b");
    await signed(elsewhere);
    await deletePod(admin, "shop", "web-2");
    await denied(elsewhere, "permission-denied", /No pod of .*shop\/sa\/web/);
    await signed(here);
  });

  test("T11: the token of a deleted agent is refused within 10 s", async () => {
    const agent = await startAgent({ node: "node-b" });
    await putWeb("web-3", "node-b");
    await signed(agent);
    await agent.deletePod();
    const startMs = performance.now();
    await eventually(async () => {
      const end = await agent.sign("shop/web").then(
        () => "signed",
        (error: Error & { readonly code: CaFailure }) => error.code,
      );
      assert.ok(["unauthenticated", "permission-denied"].includes(end), end);
    }, DENY_LIMIT_MS);
    assert.ok(performance.now() - startMs <= DENY_LIMIT_MS);
    await deletePod(admin, "shop", "web-3");
  });

  test("T12: names, extensions and a CA bit of a request do not reach the certificate", async () => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    const wishes = ["-addext", "basicConstraints=critical,CA:TRUE"];
    const names = "subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin,DNS:api";
    const subject = ["-subj", "/O=system:masters/CN=admin"];
    const out = ["-keyout", "request.key", "-outform", "DER", "-out", "request.der"];
    const args = ["req", "-new", ...key, ...subject, ...wishes, "-addext", names, ...out];
    await run("openssl", args, { cwd: folder });
    const agent = await startAgent({ node: "node-a" });
    await signed(agent);
    const csr = await readFile(join(folder, "request.der"));
    const leaf = new X509Certificate((await agent.sign("shop/web", csr)).chain[0] ?? "");
    assert.equal(leaf.subjectAltName, ID);
    assert.deepEqual([leaf.subject ?? "", leaf.ca], ["", false]);
  });

  test("a token for another audience, and another account's, get nothing", async () => {
    const other = await startAgent({ node: "node-a", serviceAccountName: "other" });
    await denied(other, "permission-denied", /not among those who may ask/);
    const foreign = await CaAgent.start(admin, ca, { node: "node-a", audience: "other-audience" });
    agents.push(foreign);
    await denied(foreign, "unauthenticated", /does not accept the token for innermesh-ca/);
  });

  test("a banned node is refused, the ban is published, and its end lets it in", async () => {
    const agent = await startAgent({ node: "node-a" });
    await signed(agent);
    const metadata = { namespace: "innermesh-system", name: "innermesh-bans" };
    const data = { "node-a": new Date().toISOString() };
    await admin.apply({ apiVersion: "v1", kind: "ConfigMap", metadata, data });
    await denied(agent, "permission-denied", /node-a is banned/);
    await eventually(async () => {
      const path = `${SYSTEM}/configmaps/innermesh-trust-bundle`;
      const bundle = await admin.request<{ data: Record<string, string> }>("GET", path);
      assert.match(bundle.data["bans.json"] ?? "", /"node":"node-a"/);
    });
    await admin.request("DELETE", `${SYSTEM}/configmaps/innermesh-bans`);
    await signed(agent);
  });

  test("F42: after its Secret was lost the CA goes on with a new root beside the old one", async () => {
    const [old = ""] = await publishedRoots(admin);
    await ca[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    await admin.request("DELETE", `${SYSTEM}/secrets/innermesh-ca`);
    ca = await startCa(controlPlane);
    const roots = await eventually(async () => {
      const now = await publishedRoots(admin);
      assert.equal(now.length, 2);
      return now;
    });
    assert.equal(roots[0], old);
    const leaf = await signed(await startAgent({ node: "node-a" }));
    assert.ok(leaf.verify(new X509Certificate(roots[1] ?? "").publicKey));
  });

  test("F41: a root is added and signs, and no request fails meanwhile", async () => {
    const before = await publishedRoots(admin);
    await ca[Symbol.asyncDispose]();
    ca = await startCa(controlPlane, { settings: { rootGeneration: 1, spreadMs: 3_000 } });
    const agent = await startAgent({ node: "node-a" });
    await signed(agent);
    const failures: unknown[] = [];
    await eventually(async () => {
      const { chain } = await agent.sign("shop/web").catch((error: unknown) => {
        failures.push(error);
        throw error;
      });
      const added = (await publishedRoots(admin)).filter((pem) => !before.includes(pem));
      assert.equal(added.length, 1);
      const leaf = new X509Certificate(chain[0] ?? "");
      assert.ok(leaf.verify(new X509Certificate(added[0] ?? "").publicKey), "signs still old");
    }, ROTATION_LIMIT_MS);
    assert.deepEqual(failures, []);
  });

  test("the key is in the Secret and nowhere else", async () => {
    const secret = await admin.request<{ data: Record<string, string> }>(
      "GET",
      `${SYSTEM}/secrets/innermesh-ca`,
    );
    const state = Buffer.from(secret.data["state.json"] ?? "", "base64").toString();
    assert.match(state, /BEGIN PRIVATE KEY/);
    assert.ok(!JSON.stringify(ca.lines).includes("PRIVATE KEY"));
    const node = { serviceAccount: { namespace: "kube-system", name: "innermesh-node" } };
    using agent = await controlPlane.clientFor(node);
    const forbidden = (error: unknown) => error instanceof ApiError && error.status === 403;
    await assert.rejects(agent.request("GET", `${SYSTEM}/secrets/innermesh-ca`), forbidden);
    await agent.request("GET", `${SYSTEM}/configmaps/innermesh-trust-bundle`);
  });
});

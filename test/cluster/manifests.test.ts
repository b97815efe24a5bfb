// The manifests against the real thing: an API server that judges every file, and an agent with
// the DaemonSet's rights, file system and capabilities, which has enough and needs all of them.

import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parseAllDocuments, stringify } from "yaml";

import { appliedFiles, applyPath, validateManifests } from "../../manifests/apply-contract.ts";
import { nodeCapabilities } from "../../manifests/source/capabilities.ts";
import type { ManifestObject } from "../../manifests/source/manifest.ts";
import { NodeProcess } from "../../playground/node-process.ts";
import { openProbe } from "../../playground/probe.ts";
import type { PlaygroundNode } from "../../playground/topology.ts";
import { ROOT } from "../../scripts/steps.ts";
import { eventually } from "./answers.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { createService, ensureNamespace } from "./cluster-objects.ts";
import { applyGatewayDefinitions } from "./gateway-api.ts";

/** As a container runtime leaves it: /proc/sys read-only, no new privileges, few capabilities. */
const CONTAINER = `
set -eu
bounds=$1
shift
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
exec setpriv --bounding-set="$bounds" --inh-caps=-all --no-new-privs -- "$@"
`;

/** Of linux/capability.h. */
const BITS = { NET_ADMIN: 12n, NET_RAW: 13n } as const;

suite("manifests", () => {
  let cluster: Cluster;
  let node: PlaygroundNode;
  let configuration: string;

  const apply = (path: string, object: ManifestObject): Promise<unknown> =>
    cluster.admin.request("PATCH", path, object, "application/apply-patch+yaml");

  const inContainer = (capabilities: readonly string[], flags: readonly string[]) => {
    const bounds = ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
    const program = [`${ROOT}/bin/innermesh`, "node", `--hostname-override=${node.name}`];
    const words = ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", bounds, ...program];
    const child = cluster.playground.spawn(node.netns, [...words, ...flags], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new NodeProcess(child, openProbe(cluster.playground, node.netns));
  };

  before(async () => {
    cluster = await startCluster({ nodes: 1, podsPerNode: 2 });
    node = cluster.playground.node(1);
    for (const pod of node.pods) await cluster.putPod(pod, { labels: { app: "web" } });
    for (const { path, objects } of appliedFiles()) {
      if (!path.startsWith("kustomize/")) continue;
      for (const object of objects) {
        await apply(`${applyPath(object)}?fieldManager=innermesh-test&force=true`, object);
      }
    }
    configuration = await writeConfiguration(cluster);
  });
  after(() => cluster[Symbol.asyncDispose]());

  test("a real API server takes every file of kustomize's base and of the chart", async () => {
    assert.deepEqual(await validateManifests(apply), []);
  });

  test("a real API server takes the routes of the examples", async () => {
    await applyGatewayDefinitions(cluster.admin);
    const folder = join(ROOT, "examples/routes");
    const files = (await readdir(folder)).filter((name) => name !== "cluster.yaml");
    for (const namespace of ["shop", "data"]) await ensureNamespace(cluster.admin, namespace);
    for (const file of files) {
      for (const document of parseAllDocuments(await readFile(join(folder, file), "utf8"))) {
        const route = document.toJS();
        const { namespace, name } = route.metadata;
        const plural = `${route.kind.toLowerCase()}s`;
        const path = `/apis/${route.apiVersion}/namespaces/${namespace}/${plural}/${name}`;
        const strict = "fieldManager=innermesh-test&dryRun=All&fieldValidation=Strict";
        await apply(`${path}?${strict}`, route);
      }
    }
  });

  test("an API server that refuses is heard", async () => {
    const problems = await validateManifests(() => Promise.reject(new Error("no")));
    assert.equal(problems.length, appliedFiles().length);
  });

  test("after --init-only the agent serves with the DaemonSet's rights and capabilities", async () => {
    const program = [`${ROOT}/bin/innermesh`, "node", `--config=${configuration}`, "--init-only"];
    const { code, stderr } = await cluster.playground.exec(node.netns, program);
    assert.equal(code, 0, stderr);
    const ports = [{ port: 80, targetPort: 8080 }];
    const { spec } = await createService(cluster.admin, {
      name: "web",
      spec: { selector: { app: "web" }, ports },
    });
    const capabilities = nodeCapabilities.map(({ name }) => name);
    const agent = inContainer(capabilities, [`--config=${configuration}`]);
    try {
      await agent.healthy();
      const target = { protocol: "http", address: spec?.clusterIP ?? "", port: 80 } as const;
      await cluster.until(cluster.podProbe(1, 1), target, ({ kind }) => kind === "reply");
      await eventually(async () => {
        const path = "/apis/events.k8s.io/v1/namespaces/default/events";
        const { items } = await cluster.admin.request<{
          readonly items: readonly { readonly reason: string }[];
        }>("GET", path);
        assert.ok(items.some(({ reason }) => reason === "Starting"));
      });
      const refusals = agent.log.filter((line) => /forbidden|EPERM|EACCES|EROFS/i.test(line));
      assert.deepEqual(refusals, []);
    } finally {
      await agent.stop();
    }
  });

  for (const { name: dropped } of nodeCapabilities.filter(({ needed }) => needed)) {
    test(`without ${dropped} it does not serve`, async () => {
      const rest = nodeCapabilities.map(({ name }) => name).filter((name) => name !== dropped);
      const agent = inContainer(rest, [`--config=${configuration}`]);
      await assert.rejects(agent.healthy(), /EPERM|not permitted/i);
      await agent.kill();
    });
  }

  suite("proxy workers", () => {
    let clusterIP: string;
    before(async () => {
      const { spec } = await createService(cluster.admin, {
        name: "proxied",
        labels: { "innermesh.io/lane": "l4" },
        spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
      });
      clusterIP = spec?.clusterIP ?? "";
    });

    const cases = [
      { when: "as installed", granted: ["NET_RAW", "NET_ADMIN"], kept: "NET_RAW" },
      { when: "without NET_RAW", granted: ["NET_ADMIN"], kept: "NET_ADMIN" },
    ] as const;
    for (const { when, granted, kept } of cases) {
      test(`${when} they serve, with ${kept} and nothing else`, async () => {
        const agent = inContainer(granted, [`--config=${configuration}`]);
        try {
          await agent.healthy();
          await agent.proxying();
          const workers = await childrenOf(agent.pid);
          assert.ok(workers.length > 0);
          for (const pid of workers) {
            const status = await readFile(`/proc/${pid}/status`, "utf8");
            for (const set of ["CapEff", "CapPrm"]) {
              const held = new RegExp(`^${set}:\\t(\\S+)$`, "m").exec(status)?.[1];
              assert.equal(BigInt(`0x${held}`), 1n << BITS[kept], `${set} of worker ${pid}`);
            }
          }
          const target = { protocol: "http", address: clusterIP, port: 80 } as const;
          await cluster.until(cluster.podProbe(1, 1), target, ({ kind }) => kind === "reply");
        } finally {
          await agent.stop();
        }
      });
    }
  });
});

/** The ConfigMap's file, with what a pod has from elsewhere and a namespace cannot have. */
async function writeConfiguration(cluster: Cluster): Promise<string> {
  const base = appliedFiles().find(({ path }) => path === "kustomize/base/config-map.yaml");
  const data = base?.objects[0]?.["data"] as Readonly<Record<string, string>>;
  const [kubeProxy, ...others] = parseAllDocuments(data["config.yaml"] ?? "").map((document) =>
    document.toJS(),
  );
  const file = cluster.file("config.yaml");
  const content = {
    ...kubeProxy,
    clientConnection: { kubeconfig: await cluster.nodeKubeconfig() },
    // The limit belongs to the machine, not to a namespace.
    conntrack: { maxPerCore: 0 },
    // What the kubelet gives to node-critical pods cannot be lowered to from here.
    oomScoreAdj: 0,
  };
  await writeFile(file, [content, ...others].map((one) => stringify(one)).join("---\n"));
  return file;
}

async function childrenOf(parent: number): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")),
  );
  // "PID (NAME) STATE PARENT …", and a name may hold anything.
  return pids.filter((_, i) => /.*\) \S+ (\d+)/.exec(parents[i] ?? "")?.[1] === String(parent));
}

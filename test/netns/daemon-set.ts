// The node role's DaemonSet as containers that run on a playground's node: the manifest decides,
// and only what a kubelet would fill in is filled in here.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  V1ConfigMap,
  V1Container,
  V1DaemonSet,
  V1PodSpec,
  V1Volume,
} from "@kubernetes/client-node";
import { parseAllDocuments, stringify } from "yaml";
import { nodeManifests } from "../../manifests/source/node.ts";
import { defaultLookup } from "../../manifests/source/values.ts";
import { NodeProcess } from "../../playground/node-process.ts";
import { openProbe } from "../../playground/probe.ts";
import { CLUSTER_CIDRS } from "../../service-proxy/plan/packet-cases.ts";
import type { ContainerImage, ContainerMount, ContainerOptions } from "./container.ts";
import type { ServedNode } from "./served-node.ts";

/** Where containers find the directory of objects. */
const OBJECTS = "/objects";

/** What a test has otherwise than the manifest. */
export interface ContainerChange {
  readonly capabilities?: ContainerOptions["capabilities"];
  /** A program of the image, by its path, and its arguments. */
  readonly words?: readonly string[];
}

export interface EndedContainer {
  readonly code: number;
  readonly stderr: string;
}

/** One Pod of the DaemonSet on the node under test. Its containers are started one by one. */
export class DaemonSetPod implements AsyncDisposable {
  readonly spec: V1PodSpec;
  readonly #rig: ServedNode;
  readonly #image: ContainerImage;
  /** Holds the folders `config` and `empty`. */
  readonly #folder: string;

  /** Use `create`. */
  constructor(rig: ServedNode, image: ContainerImage, spec: V1PodSpec, folder: string) {
    this.spec = spec;
    this.#rig = rig;
    this.#image = image;
    this.#folder = folder;
  }

  static async create(rig: ServedNode, image: ContainerImage): Promise<DaemonSetPod> {
    const lookup = (path: string): string =>
      path === "clusterCIDR" ? CLUSTER_CIDRS : defaultLookup(path);
    const objects = new Map(nodeManifests(lookup).map(({ name, object }) => [name, object]));
    const daemonSet = objects.get("daemon-set") as V1DaemonSet | undefined;
    const spec = daemonSet?.spec?.template.spec;
    assert(spec, "the manifests have a DaemonSet");
    const { data = {} } = (objects.get("config-map") ?? {}) as V1ConfigMap;
    const folder = await mkdtemp(join(tmpdir(), "innermesh-pod-"));
    for (const name of ["config", "empty"]) await mkdir(join(folder, name));
    for (const [name, text] of Object.entries(data)) {
      await writeFile(join(folder, "config", name), forPlayground(text));
    }
    return new DaemonSetPod(rig, image, spec, folder);
  }

  /** The container that a test is about. */
  container(name: string): V1Container {
    const { initContainers = [], containers } = this.spec;
    const found = [...initContainers, ...containers].find((one) => one.name === name);
    return found ?? assert.fail(`the DaemonSet has no container ${name}`);
  }

  /** What the manifest grants one of its containers. */
  granted(name: string): ContainerOptions["capabilities"] {
    const { privileged, capabilities } = this.container(name).securityContext ?? {};
    return privileged === true ? "privileged" : (capabilities?.add ?? []);
  }

  /** Starts the agent, in the node's network. */
  start(name: string): NodeProcess {
    const { playground, node } = this.#rig;
    const stdio = ["ignore", "pipe", "pipe"] as const;
    const child = playground.spawn(node.netns, this.#command(name), { stdio: [...stdio] });
    return new NodeProcess(child, openProbe(playground, node.netns));
  }

  /** Runs a container until it ends by itself. */
  async run(name: string, change: ContainerChange = {}): Promise<EndedContainer> {
    const { playground, node } = this.#rig;
    const { capabilities = this.granted(name), words } = change;
    const [entrypoint = "", ...args] = words ?? [];
    const command =
      words === undefined
        ? this.#command(name, capabilities)
        : this.#image.command(args, { capabilities, entrypoint });
    return playground.exec(node.netns, command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  #command(name: string, capabilities = this.granted(name)): readonly string[] {
    const { args = [] } = this.container(name);
    const env = { NODE_NAME: this.#rig.node.name };
    const given = args.map((arg) => arg.replace("$(NODE_NAME)", env.NODE_NAME));
    return this.#image.command(given, { capabilities, mounts: this.#mounts(name), env });
  }

  #mounts(name: string): readonly ContainerMount[] {
    const { volumeMounts = [] } = this.container(name);
    const declared = volumeMounts.map((mount): ContainerMount => {
      const volume = this.spec.volumes?.find((one) => one.name === mount.name);
      assert(volume, `volume ${mount.name} is declared`);
      return this.#mount(volume, mount.mountPath);
    });
    return [...declared, { kind: "folder", at: OBJECTS, from: this.#rig.directory }];
  }

  #mount(volume: V1Volume, at: string): ContainerMount {
    const { emptyDir, configMap } = volume;
    if (emptyDir !== undefined) {
      return { kind: "memory", at, size: (emptyDir.sizeLimit ?? "").replace("Mi", "m") };
    }
    // Nobody asks an API server here, so that an empty folder does for its token.
    const from = join(this.#folder, configMap === undefined ? "empty" : "config");
    return { kind: "folder", at, from };
  }
}

/** The ConfigMap's file with objects from a directory, and without the limit of the machine. */
function forPlayground(text: string): string {
  const [kubeProxy, node] = parseAllDocuments(text).map((document) => document.toJS() as object);
  const file = { ...kubeProxy, conntrack: { maxPerCore: 0 } };
  const ours = { ...node, source: `dir:${OBJECTS}` };
  return `${stringify(file)}---\n${stringify(ours)}`;
}

// Clusters of the policies' tests, as objects of the API: the same ones are read by the evaluator,
// by oracles, and from files by agents.

import {
  UPSTREAM_NAMESPACES,
  UPSTREAM_PODS,
  UPSTREAM_PORTS,
  type UpstreamChange,
} from "./upstream-cases.ts";

/** A Kubernetes object, to be written as JSON. */
export type Manifest = Readonly<Record<string, unknown>>;

export interface PolicyObjects {
  readonly policies: readonly Manifest[];
  readonly namespaces: readonly Manifest[];
  readonly pods: readonly Manifest[];
}

export interface SamplePod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly node: string;
  readonly addresses: readonly string[];
  readonly ports: readonly SamplePort[];
}

export interface SamplePort {
  readonly name: string;
  readonly protocol: string;
  readonly containerPort: number;
}

type Labels = Readonly<Record<string, string>>;

/** `serve-80-tcp`, over each protocol. */
export function servedPorts(ports: readonly number[]): readonly SamplePort[] {
  return ["TCP", "UDP", "SCTP"].flatMap((protocol) =>
    ports.map((containerPort) => ({
      name: `serve-${containerPort}-${protocol.toLowerCase()}`,
      protocol,
      containerPort,
    })),
  );
}

/** A running pod. */
export function podObject(pod: SamplePod): Manifest {
  const { namespace, name, labels, node, addresses, ports } = pod;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, uid: `uid-${namespace}-${name}`, labels },
    spec: {
      nodeName: node,
      serviceAccountName: name,
      containers: [{ name: "server", image: "server", ports }],
    },
    status: { phase: "Running", podIPs: addresses.map((ip) => ({ ip })) },
  };
}

/** As the API server has it: with the label of its name. */
export function namespaceObject(name: string, labels: Labels): Manifest {
  const metadata = { name, labels: { ...labels, "kubernetes.io/metadata.name": name } };
  return { apiVersion: "v1", kind: "Namespace", metadata };
}

/** The nine pods of the upstream cases in their three namespaces, as steps change them. */
export class UpstreamWorld {
  readonly #policies = new Map<string, Manifest>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #pods = new Map<string, Labels>();

  constructor() {
    for (const name of UPSTREAM_NAMESPACES) this.#namespaces.set(name, {});
    for (const { name } of UPSTREAM_PODS) this.#pods.set(name, { pod: name.split("/")[1] ?? "" });
  }

  apply(changes: readonly UpstreamChange[]): void {
    for (const change of changes) this.#apply(change);
  }

  get objects(): PolicyObjects {
    return {
      policies: [...this.#policies.values()],
      namespaces: [...this.#namespaces].map(([name, labels]) => namespaceObject(name, labels)),
      pods: UPSTREAM_PODS.map(({ name: path, node, addresses }) => {
        const [namespace = "", name = ""] = path.split("/");
        return podObject({
          namespace,
          name,
          node,
          labels: this.#pods.get(path) ?? {},
          addresses: Object.values(addresses),
          ports: servedPorts(UPSTREAM_PORTS),
        });
      }),
    };
  }

  #apply(change: UpstreamChange): void {
    switch (change.kind) {
      case "put": {
        const { namespace, name } = change.policy.metadata;
        this.#policies.set(`${namespace}/${name}`, change.policy);
        return;
      }
      case "delete-policies":
        this.#policies.clear();
        return;
      case "label-namespace":
        addLabels(this.#namespaces, change.namespace, change.labels);
        return;
      case "label-pod":
        addLabels(this.#pods, change.pod, change.labels);
        return;
      default:
        return change satisfies never;
    }
  }
}

function addLabels(all: Map<string, Labels>, name: string, labels: Labels): void {
  all.set(name, { ...all.get(name), ...labels });
}

// The Nodes, Pods and Services of a cluster without kubelets: what kubelets would report is
// written here, through the status subresource, so that real controllers act on it.

import { setTimeout as delay } from "node:timers/promises";
import type {
  V1EndpointSlice,
  V1Node,
  V1Pod,
  V1Service,
  V1ServicePort,
  V1ServiceSpec,
} from "@kubernetes/client-node";
import { type ApiClient, ApiError, type ApplyObject } from "./api-client.ts";

const POLL_MS = 50;

export interface NodeSpec {
  readonly name: string;
  /** Internal addresses, the primary family first. */
  readonly addresses: readonly string[];
  readonly podCIDRs: readonly string[];
  /** Beside kubernetes.io/hostname; the zone is topology.kubernetes.io/zone. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** Creates a Node that is Ready, or changes it to match. */
export async function registerNode(admin: ApiClient, node: NodeSpec): Promise<void> {
  const { name, podCIDRs } = node;
  await admin.apply({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...node.labels } },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
  });
  const addresses = node.addresses.map((address) => ({ type: "InternalIP", address }));
  const resources = { cpu: "4", memory: "8Gi", pods: "110" };
  await admin.request<V1Node>("PATCH", `/api/v1/nodes/${name}/status`, {
    status: {
      addresses: [...addresses, { type: "Hostname", address: name }],
      capacity: resources,
      allocatable: resources,
      conditions: [condition("Ready", true)],
    },
  });
}

export interface PodSpec {
  readonly name: string;
  /** Created when missing. @default "default" */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** A registered Node: the slice controller asks for its zone. */
  readonly nodeName: string;
  /** The primary family first. */
  readonly podIPs: readonly string[];
  /** @default true */
  readonly ready?: boolean;
  /** Container ports that a Service's named targetPort can mean. */
  readonly ports?: readonly {
    readonly name: string;
    readonly containerPort: number;
    readonly protocol?: "TCP" | "UDP" | "SCTP";
  }[];
  /** @default false */
  readonly hostNetwork?: boolean;
  /** @default "default" */
  readonly serviceAccountName?: string;
}

/** Creates a running Pod, or changes its labels and status to match. Nothing runs it. */
export async function putPod(admin: ApiClient, pod: PodSpec): Promise<V1Pod> {
  const { name, namespace = "default", podIPs, ready = true, hostNetwork = false } = pod;
  const serviceAccountName = pod.serviceAccountName ?? "default";
  await ensureNamespace(admin, namespace);
  await ensureServiceAccount(admin, namespace, serviceAccountName);
  const ports = pod.ports?.map((port) =>
    hostNetwork ? { ...port, hostPort: port.containerPort } : port,
  );
  const object = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: pod.labels ?? {} },
    spec: {
      nodeName: pod.nodeName,
      hostNetwork,
      serviceAccountName,
      containers: [{ name: "main", image: "none.invalid/none", ports: ports ?? [] }],
    },
  };
  await admin.apply(object);
  return admin.request<V1Pod>("PATCH", `/api/v1/namespaces/${namespace}/pods/${name}/status`, {
    status: {
      phase: "Running",
      podIP: podIPs[0],
      podIPs: podIPs.map((ip) => ({ ip })),
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready),
        condition("Ready", ready),
      ],
    },
  });
}

/**
 * Deletes a Pod at once, or leaves it terminating: without a kubelet it stays so, ready or not as
 * its status says, until it is deleted again with `graceSeconds` 0.
 */
export async function deletePod(
  admin: ApiClient,
  namespace: string,
  name: string,
  graceSeconds = 0,
): Promise<void> {
  const options = { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: graceSeconds };
  await admin.request("DELETE", `/api/v1/namespaces/${namespace}/pods/${name}`, options);
}

export interface ServiceSpec {
  readonly name: string;
  /** Created when missing. @default "default" */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** As the API has it, e.g. `{ selector: { app: "web" }, ports: [{ port: 80 }] }`. */
  readonly spec: Omit<V1ServiceSpec, "ports"> & { readonly ports?: readonly V1ServicePort[] };
}

/** Creates a Service. The answer holds the addresses and node ports it was given. */
export async function createService(admin: ApiClient, service: ServiceSpec): Promise<V1Service> {
  const { name, namespace = "default", labels, annotations, spec } = service;
  await ensureNamespace(admin, namespace);
  return admin.request<V1Service>("POST", `/api/v1/namespaces/${namespace}/services`, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, labels, annotations },
    spec,
  });
}

/** Gives a LoadBalancer Service its addresses, or none, as a cloud controller would. */
export async function setLoadBalancerIngress(
  admin: ApiClient,
  namespace: string,
  name: string,
  ingress: readonly { readonly ip: string; readonly ipMode?: "VIP" | "Proxy" }[],
): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/services/${name}/status`;
  await admin.request("PATCH", path, { status: { loadBalancer: { ingress } } });
}

/** The EndpointSlices of one Service, whoever made them. */
export async function slicesOf(
  admin: ApiClient,
  namespace: string,
  service: string,
): Promise<readonly V1EndpointSlice[]> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const query = `?labelSelector=kubernetes.io%2Fservice-name%3D${service}`;
  const list = await admin.request<{ items: V1EndpointSlice[] }>("GET", path + query);
  return list.items;
}

/**
 * Waits until controllers have made the slices of a Service satisfy `isDone`.
 * @throws with the slices seen last when `limitMs` pass
 */
export async function waitForSlices(
  admin: ApiClient,
  namespace: string,
  service: string,
  isDone: (slices: readonly V1EndpointSlice[]) => boolean,
  limitMs = 15_000,
): Promise<readonly V1EndpointSlice[]> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const slices = await slicesOf(admin, namespace, service);
    if (isDone(slices)) return slices;
    if (performance.now() > deadline) {
      const seen = JSON.stringify(
        slices.map(({ addressType, endpoints }) => [addressType, endpoints]),
      );
      throw new Error(
        `Cannot wait for slices of ${namespace}/${service}: after ${limitMs} ms ${seen}`,
      );
    }
    await delay(POLL_MS);
  }
}

/** Creates a namespace unless it is there. */
export async function ensureNamespace(admin: ApiClient, name: string): Promise<void> {
  await createUnlessThere(admin, "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
  });
}

/** Creates a service account unless it is there: admission refuses Pods without one. */
export async function ensureServiceAccount(
  admin: ApiClient,
  namespace: string,
  name: string,
): Promise<void> {
  await createUnlessThere(admin, `/api/v1/namespaces/${namespace}/serviceaccounts`, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name },
  });
}

async function createUnlessThere(
  admin: ApiClient,
  path: string,
  object: ApplyObject,
): Promise<void> {
  const isStatus = (error: unknown, status: number): boolean =>
    error instanceof ApiError && error.status === status;
  try {
    await admin.request("GET", `${path}/${object.metadata.name}`);
  } catch (missing) {
    if (!isStatus(missing, 404)) throw missing;
    await admin.request("POST", path, object).catch((error: unknown) => {
      if (!isStatus(error, 409)) throw error;
    });
  }
}

function condition(type: string, holds: boolean): Readonly<Record<string, string>> {
  return { type, status: holds ? "True" : "False" };
}

// Copies of a Service that an API server made, in the form in which it stores them.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { addressBytes } from "../../lib/ip/address.ts";
import { splitCidr } from "../../lib/ip/cidr.ts";
import { ensureNamespace } from "./cluster-objects.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { EtcdObject } from "./etcd.ts";
import { ipv4, type LoadSlice, TARGET_PORT } from "./load-slices.ts";

/** An API server picks addresses above the first 256 first; ours start beyond them too. */
const FIRST_CLUSTER_IP = 512;
const IP_ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses";

/** An object as the API server answers with it, with all its defaults. */
interface CompleteObject<Spec> {
  readonly metadata: {
    readonly name: string;
    readonly creationTimestamp: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: Spec;
  readonly [field: string]: unknown;
}

type CompleteService = CompleteObject<{ readonly clusterIP: string }>;
type CompleteIpAddress = CompleteObject<{ readonly parentRef: object }>;

/** The first Service of a load, and the object that holds its address. */
export interface ServiceTemplate {
  readonly namespace: string;
  readonly clusterIP: string;
  readonly service: CompleteService;
  readonly ipAddress: CompleteIpAddress;
}

/** Creates `service-0`, whose copies the others are, and its namespace when it is missing. */
export async function createTemplate(
  { admin }: ControlPlane,
  namespace: string,
): Promise<ServiceTemplate> {
  await ensureNamespace(admin, namespace);
  const path = `/api/v1/namespaces/${namespace}/services`;
  const service = await admin.request<CompleteService>("POST", path, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "service-0" },
    spec: {
      ipFamilyPolicy: "SingleStack",
      ipFamilies: ["IPv4"],
      ports: [{ name: "http", port: 80, targetPort: TARGET_PORT, protocol: "TCP" }],
    },
  });
  const { clusterIP } = service.spec;
  const ipAddress = await admin.request<CompleteIpAddress>("GET", `${IP_ADDRESSES}/${clusterIP}`);
  return { namespace, clusterIP, service, ipAddress };
}

/** IPv4 addresses that no Service has. One that is taken before it is used fails the load. */
export async function freeClusterIPs(
  { admin, serviceCidrs }: ControlPlane,
  count: number,
): Promise<readonly string[]> {
  const list = await admin.request<{ items: CompleteIpAddress[] }>("GET", IP_ADDRESSES);
  const taken = new Set(list.items.map((item) => item.metadata.name));
  const cidr = serviceCidrs.find((candidate) => !candidate.includes(":"));
  assert(cidr !== undefined, "a load needs an IPv4 Service CIDR");
  const { address, length } = splitCidr(cidr);
  const network = Buffer.from(addressBytes(address)).readUInt32BE();
  const free: string[] = [];
  for (let host = FIRST_CLUSTER_IP; free.length < count; host += 1) {
    assert(host < 2 ** (32 - length) - 1, `${cidr} has no room for ${count} more Services`);
    const candidate = ipv4(network + host);
    if (!taken.has(candidate)) free.push(candidate);
  }
  return free;
}

/** A Service like the template's but for its name and address, and that address's own object. */
export function copyService(
  template: ServiceTemplate,
  name: string,
  clusterIP: string,
): readonly EtcdObject[] {
  const { namespace, service, ipAddress } = template;
  const { creationTimestamp } = service.metadata;
  const { labels } = ipAddress.metadata;
  return [
    {
      key: `/registry/services/specs/${namespace}/${name}`,
      object: {
        ...service,
        metadata: { name, namespace, uid: randomUUID(), creationTimestamp },
        spec: { ...service.spec, clusterIP, clusterIPs: [clusterIP] },
      },
    },
    {
      key: `/registry/ipaddresses/${clusterIP}`,
      object: {
        ...ipAddress,
        metadata: { name: clusterIP, uid: randomUUID(), creationTimestamp, labels },
        spec: { parentRef: { ...ipAddress.spec.parentRef, name } },
      },
    },
  ];
}

/** A slice as the API server would store it. */
export function storeSlice(slice: LoadSlice, { service }: ServiceTemplate): EtcdObject {
  const { creationTimestamp } = service.metadata;
  const { name, namespace } = slice.metadata;
  const metadata = { ...slice.metadata, uid: randomUUID(), creationTimestamp, generation: 1 };
  return {
    key: `/registry/endpointslices/${namespace}/${name}`,
    object: { ...slice, metadata },
  };
}

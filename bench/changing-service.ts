// A Service of one endpoint that moves: the first packet after a move goes to the new endpoint or
// not, and chance has no part in it. All other Services have ten.

import assert from "node:assert/strict";
import { createService } from "../test/cluster/cluster-objects.ts";
import { TARGET_PORT } from "../test/cluster/load-slices.ts";
import { backend, type Rig, type Target } from "./rig.ts";

const NAME = "moving";
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/** Backends from 10.72.200.1 on are its own. */
const FIRST_NETWORK = 200;
const HOSTS_PER_NETWORK = 250;

export interface ChangingService {
  readonly target: Target;
  /** An endpoint's address that it never had. */
  nextBackend(): string;
  /** Makes this its only endpoint; resolves when the API server has it. */
  moveTo(address: string): Promise<void>;
}

export async function makeChangingService({ controlPlane }: Rig): Promise<ChangingService> {
  const { admin } = controlPlane;
  const spec = { ports: [{ name: "tcp", port: 80, targetPort: TARGET_PORT }] };
  const service = await createService(admin, { name: NAME, spec });
  const clusterIP = service.spec?.clusterIP;
  assert(clusterIP !== undefined);
  let backends = 0;
  const nextBackend = (): string => {
    const number = backends++;
    const network = FIRST_NETWORK + Math.floor(number / HOSTS_PER_NETWORK);
    return backend(network, 1 + (number % HOSTS_PER_NETWORK));
  };
  await admin.request("POST", SLICES, sliceOf(nextBackend()));
  return {
    target: { address: clusterIP, port: 80 },
    nextBackend,
    moveTo: async (address) => {
      await admin.request("PUT", `${SLICES}/${NAME}`, sliceOf(address));
    },
  };
}

function sliceOf(address: string): object {
  const labels = {
    "kubernetes.io/service-name": NAME,
    "endpointslice.kubernetes.io/managed-by": "innermesh-bench",
  };
  const conditions = { ready: true, serving: true, terminating: false };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: NAME, namespace: "default", labels },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions }],
    ports: [{ name: "tcp", port: TARGET_PORT, protocol: "TCP" }],
  };
}

// Services whose one slice the test writes itself: no controller's pace is in what is measured.

import assert from "node:assert/strict";
import type { PlaygroundPod } from "../../playground/topology.ts";
import type { ApiClient } from "./api-client.ts";
import { ECHO } from "./cluster-fixture.ts";
import { createService } from "./cluster-objects.ts";

const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/** @returns the ClusterIP of a new Service that leads from port 80 to the pods' HTTP servers */
export async function serveByHand(
  admin: ApiClient,
  name: string,
  pods: readonly PlaygroundPod[],
): Promise<string> {
  const spec = { ports: [{ name: "http", port: 80, targetPort: ECHO.http }] };
  const service = await createService(admin, { name, spec });
  await admin.request("POST", SLICES, sliceOf(name, pods));
  return service.spec?.clusterIP ?? assert.fail("no ClusterIP");
}

/** Makes these pods the only backends; resolves when the API server has it. */
export async function moveTo(
  admin: ApiClient,
  name: string,
  pods: readonly PlaygroundPod[],
): Promise<void> {
  await admin.request("PUT", `${SLICES}/${name}`, sliceOf(name, pods));
}

function sliceOf(service: string, pods: readonly PlaygroundPod[]): object {
  const labels = {
    "kubernetes.io/service-name": service,
    "endpointslice.kubernetes.io/managed-by": "innermesh-test",
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: service, namespace: "default", labels },
    addressType: "IPv4",
    endpoints: pods.map(({ addresses, node }) => ({
      addresses: [addresses.ip],
      nodeName: node,
      conditions: { ready: true, serving: true, terminating: false },
    })),
    ports: [{ name: "http", port: ECHO.http, protocol: "TCP" }],
  };
}

// Objects of a Service as one of the lanes has them.

import { type Lane, LANE_LABEL } from "../../service-proxy/plan/lane.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";

const H2C = "kubernetes.io/h2c";

/** How a Service is served. */
export interface ServedHow {
  /** @default "l7" */
  readonly lane?: Lane;
  /** Its backends speak HTTP/2. */
  readonly h2?: true;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An EndpointSlice stays as it is. */
export function inLane(item: Manifest, { lane = "l7", h2, annotations }: ServedHow = {}): Manifest {
  if (item["kind"] !== "Service") return item;
  const labels = { [LANE_LABEL]: lane };
  const metadata = { ...Object(item["metadata"]), labels, ...(annotations && { annotations }) };
  const spec = Object(item["spec"]);
  if (h2 === undefined) return { ...item, metadata };
  const ports = spec.ports.map((port: Manifest) => ({ ...port, appProtocol: H2C }));
  return { ...item, metadata, spec: { ...spec, ports } };
}

// The suites: lists of cases in the order they run and are reported.

import type { ConformanceCase } from "./case.ts";
import { affinityClientIp } from "./cases/affinity-client-ip.ts";
import { affinityEndpointRemoved } from "./cases/affinity-endpoint-removed.ts";
import { affinitySwitch } from "./cases/affinity-switch.ts";
import { affinityTimeout } from "./cases/affinity-timeout.ts";
import { clusterIpFromNode } from "./cases/cluster-ip-from-node.ts";
import { clusterIpHairpin } from "./cases/cluster-ip-hairpin.ts";
import { clusterIpMultiPort } from "./cases/cluster-ip-multi-port.ts";
import { clusterIpSpread } from "./cases/cluster-ip-spread.ts";
import { clusterIpTcp } from "./cases/cluster-ip-tcp.ts";
import { clusterIpUdp } from "./cases/cluster-ip-udp.ts";
import { clusterIpUnusedPort } from "./cases/cluster-ip-unused-port.ts";
import { conditions } from "./cases/conditions.ts";
import { dualStack } from "./cases/dual-stack.ts";
import { endpointsChange } from "./cases/endpoints-change.ts";
import { externalIp } from "./cases/external-ip.ts";
import { externalNameChange } from "./cases/external-name-change.ts";
import { externalPolicyCluster } from "./cases/external-policy-cluster.ts";
import { externalPolicyLocal } from "./cases/external-policy-local.ts";
import { externalPolicyLocalInside } from "./cases/external-policy-local-inside.ts";
import { headless } from "./cases/headless.ts";
import { healthz } from "./cases/healthz.ts";
import { hintsNode } from "./cases/hints-node.ts";
import { hintsZone } from "./cases/hints-zone.ts";
import { hostNetworkEndpoints } from "./cases/host-network-endpoints.ts";
import { internalPolicyLocal } from "./cases/internal-policy-local.ts";
import { internalPolicyLocalFromNode } from "./cases/internal-policy-local-from-node.ts";
import { loadBalancerHealthCheck } from "./cases/load-balancer-health-check.ts";
import { loadBalancerSourceRanges } from "./cases/load-balancer-source-ranges.ts";
import { loadBalancerVip } from "./cases/load-balancer-vip.ts";
import { noEndpoints } from "./cases/no-endpoints.ts";
import { nodePort } from "./cases/node-port.ts";
import { nodePortFromNode } from "./cases/node-port-from-node.ts";
import { publishNotReady } from "./cases/publish-not-ready.ts";
import { serviceDeleted } from "./cases/service-deleted.ts";
import { serviceProxyName } from "./cases/service-proxy-name.ts";
import { terminatingFallback } from "./cases/terminating-fallback.ts";
import { terminatingLocal } from "./cases/terminating-local.ts";
import { udpBackendReplaced } from "./cases/udp-backend-replaced.ts";
import { udpFlowEnds } from "./cases/udp-flow-ends.ts";
import { udpNodePortReplaced } from "./cases/udp-node-port-replaced.ts";
import { ConformanceError } from "./conformance-error.ts";

export interface Suite {
  readonly name: string;
  readonly summary: string;
  readonly cases: readonly ConformanceCase[];
}

/** What kube-proxy does for Services, whoever does it here. */
const services: Suite = {
  name: "services",
  summary: "Service semantics: entry points, endpoints, policies, affinity, health",
  cases: [
    clusterIpTcp,
    clusterIpUdp,
    clusterIpMultiPort,
    clusterIpSpread,
    clusterIpHairpin,
    clusterIpFromNode,
    hostNetworkEndpoints,
    clusterIpUnusedPort,
    noEndpoints,
    endpointsChange,
    conditions,
    publishNotReady,
    terminatingFallback,
    terminatingLocal,
    serviceDeleted,
    serviceProxyName,
    headless,
    externalNameChange,
    dualStack,
    nodePort,
    nodePortFromNode,
    externalIp,
    affinityClientIp,
    affinityTimeout,
    affinitySwitch,
    affinityEndpointRemoved,
    internalPolicyLocal,
    internalPolicyLocalFromNode,
    externalPolicyCluster,
    externalPolicyLocal,
    externalPolicyLocalInside,
    loadBalancerVip,
    loadBalancerSourceRanges,
    loadBalancerHealthCheck,
    hintsZone,
    hintsNode,
    udpBackendReplaced,
    udpNodePortReplaced,
    udpFlowEnds,
    healthz,
  ],
};

export const suites: readonly Suite[] = [services];

/** @throws ConformanceError `usage` when there is no suite of that name */
export function findSuite(name: string): Suite {
  const found = suites.find((suite) => suite.name === name);
  if (found !== undefined) return found;
  const known = suites.map((suite) => suite.name).join(", ");
  throw new ConformanceError("usage", `Cannot run suite "${name}": there are ${known}`);
}

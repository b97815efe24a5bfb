// Every kind that a source reads: which API serves it, under which versions, and how it is parsed.

import { parseClusterNetworkPolicy } from "../api/cluster-network-policy.ts";
import { parseConfigMap } from "../api/config-map.ts";
import { parseEndpointSlice } from "../api/endpoint-slice.ts";
import { parseGrpcRoute } from "../api/grpc-route.ts";
import type { Scope } from "../api/head.ts";
import { parseHttpRoute } from "../api/http-route.ts";
import { parseMeshPolicy } from "../api/mesh-policy.ts";
import { parseNamespace } from "../api/namespace.ts";
import { parseNetworkPolicy } from "../api/network-policy.ts";
import { parseNode } from "../api/node.ts";
import type { Parsed } from "../api/parsed.ts";
import { parsePod } from "../api/pod.ts";
import { parseReferenceGrant } from "../api/reference-grant.ts";
import { parseService } from "../api/service.ts";
import { parseServiceAccount } from "../api/service-account.ts";
import { parseServiceAccountPolicy } from "../api/service-account-policy.ts";
import { parseServiceCidr } from "../api/service-cidr.ts";
import { parseTcpRoute } from "../api/tcp-route.ts";
import { parseTlsRoute } from "../api/tls-route.ts";
import { parseUdpRoute } from "../api/udp-route.ts";
import { parseXMesh } from "../api/x-mesh.ts";
import type { Kind, KubeObject } from "../store.ts";

export interface KindFacts {
  readonly scope: Scope;
  /** The first is what an API server is asked for; files may say any of them. */
  readonly apiVersions: readonly [string, ...string[]];
  /** The API's name of the collection. */
  readonly plural: string;
  /** Whether a cluster may lack the API or the right to read it; it then counts as empty. */
  readonly presence: "required" | "optional";
  readonly parse: (value: unknown) => Parsed<KubeObject>;
}

const GATEWAY = "gateway.networking.k8s.io";

export const KIND_TABLE: Readonly<Record<Kind, KindFacts>> = {
  Service: {
    scope: "namespaced",
    apiVersions: ["v1"],
    plural: "services",
    presence: "required",
    parse: parseService,
  },
  EndpointSlice: {
    scope: "namespaced",
    apiVersions: ["discovery.k8s.io/v1"],
    plural: "endpointslices",
    presence: "required",
    parse: (value) => parseEndpointSlice(value),
  },
  Node: {
    scope: "cluster",
    apiVersions: ["v1"],
    plural: "nodes",
    presence: "required",
    parse: parseNode,
  },
  ServiceCIDR: {
    scope: "cluster",
    apiVersions: ["networking.k8s.io/v1"],
    plural: "servicecidrs",
    // Stable since Kubernetes 1.33; older roles may not grant it either.
    presence: "optional",
    parse: parseServiceCidr,
  },
  Namespace: {
    scope: "cluster",
    apiVersions: ["v1"],
    plural: "namespaces",
    // Only its labels are read, and roles from before routing do not grant it.
    presence: "optional",
    parse: parseNamespace,
  },
  Pod: {
    scope: "namespaced",
    apiVersions: ["v1"],
    plural: "pods",
    // Says who a client is; without it clients are nobody in particular.
    presence: "optional",
    parse: (value) => parsePod(value),
  },
  ConfigMap: {
    scope: "namespaced",
    apiVersions: ["v1"],
    plural: "configmaps",
    presence: "optional",
    parse: parseConfigMap,
  },
  ServiceAccount: {
    scope: "namespaced",
    apiVersions: ["v1"],
    plural: "serviceaccounts",
    // Only its labels are read, and roles from before identities do not grant it.
    presence: "optional",
    parse: parseServiceAccount,
  },
  HTTPRoute: gatewayKind("httproutes", ["v1", "v1beta1"], parseHttpRoute),
  GRPCRoute: gatewayKind("grpcroutes", ["v1"], parseGrpcRoute),
  TCPRoute: gatewayKind("tcproutes", ["v1", "v1alpha2"], parseTcpRoute),
  TLSRoute: gatewayKind("tlsroutes", ["v1", "v1alpha2", "v1alpha3"], parseTlsRoute),
  UDPRoute: gatewayKind("udproutes", ["v1", "v1alpha2"], parseUdpRoute),
  ReferenceGrant: gatewayKind("referencegrants", ["v1", "v1beta1"], parseReferenceGrant),
  XMesh: {
    scope: "cluster",
    apiVersions: ["gateway.networking.x-k8s.io/v1alpha1"],
    plural: "xmeshes",
    presence: "optional",
    parse: parseXMesh,
  },
  NetworkPolicy: {
    scope: "namespaced",
    apiVersions: ["networking.k8s.io/v1"],
    plural: "networkpolicies",
    // Counting as empty where it may not be read, it would leave open what somebody closed.
    presence: "required",
    parse: parseNetworkPolicy,
  },
  ClusterNetworkPolicy: {
    scope: "cluster",
    apiVersions: ["policy.networking.k8s.io/v1alpha2"],
    plural: "clusternetworkpolicies",
    presence: "optional",
    parse: parseClusterNetworkPolicy,
  },
  ServiceAccountPolicy: {
    scope: "namespaced",
    apiVersions: ["innermesh.io/v1alpha1"],
    plural: "serviceaccountpolicies",
    presence: "optional",
    parse: parseServiceAccountPolicy,
  },
  MeshPolicy: {
    scope: "cluster",
    apiVersions: ["innermesh.io/v1alpha1"],
    plural: "meshpolicies",
    presence: "optional",
    parse: parseMeshPolicy,
  },
};

/** Kinds of the Gateway API, which a cluster has only where somebody installed it. */
function gatewayKind(
  plural: string,
  [newest, ...older]: readonly [string, ...string[]],
  parse: KindFacts["parse"],
): KindFacts {
  const apiVersions = [newest, ...older].map((version) => `${GATEWAY}/${version}`);
  const [first = "", ...others] = apiVersions;
  const presence = "optional";
  return { scope: "namespaced", apiVersions: [first, ...others], plural, presence, parse };
}

// What of the Gateway API this mesh supports, by the names of the API's own feature list: published
// in the status of the mesh, and what the documentation and the conformance runs go by.
// https://gateway-api.sigs.k8s.io/geps/gep-2162 (features in status), Gateway API 1.6.3

export interface MeshFeature {
  /** As in pkg/features of the Gateway API. */
  readonly name: string;
  /** One sentence for the documentation. */
  readonly meaning: string;
}

/** Sorted by name, as the API demands. */
export const MESH_FEATURES: readonly MeshFeature[] = [
  { name: "GRPCRoute", meaning: "gRPC is routed by service, method and metadata." },
  { name: "GRPCRouteNamedRouteRule", meaning: "Rules of a GRPCRoute have names." },
  { name: "HTTPRoute", meaning: "HTTP is routed by host, path and headers." },
  { name: "HTTPRoute303RedirectStatusCode", meaning: "Redirects with 303." },
  { name: "HTTPRoute307RedirectStatusCode", meaning: "Redirects with 307." },
  { name: "HTTPRoute308RedirectStatusCode", meaning: "Redirects with 308." },
  {
    name: "HTTPRouteBackendProtocolH2C",
    meaning: "Backends with appProtocol kubernetes.io/h2c are spoken to in HTTP/2.",
  },
  {
    name: "HTTPRouteBackendProtocolWebSocket",
    meaning: "Backends with appProtocol kubernetes.io/ws get upgrades.",
  },
  {
    name: "HTTPRouteBackendRequestHeaderModification",
    meaning: "Request headers are changed for one backend.",
  },
  { name: "HTTPRouteBackendTimeout", meaning: "One attempt at a backend is limited in time." },
  { name: "HTTPRouteCORS", meaning: "Cross-origin requests are answered by policy." },
  { name: "HTTPRouteHostRewrite", meaning: "The host is rewritten." },
  { name: "HTTPRouteMethodMatching", meaning: "Requests are matched by method." },
  { name: "HTTPRouteNamedRouteRule", meaning: "Rules of an HTTPRoute have names." },
  { name: "HTTPRouteParentRefPort", meaning: "A route can be for one port of a Service." },
  { name: "HTTPRoutePathRedirect", meaning: "Redirects change the path." },
  { name: "HTTPRoutePathRewrite", meaning: "The path is rewritten." },
  { name: "HTTPRoutePortRedirect", meaning: "Redirects change the port." },
  { name: "HTTPRouteQueryParamMatching", meaning: "Requests are matched by query parameters." },
  { name: "HTTPRouteRequestMirror", meaning: "Requests are sent to a second backend too." },
  { name: "HTTPRouteRequestMultipleMirrors", meaning: "And to several of them." },
  { name: "HTTPRouteRequestPercentageMirror", meaning: "A share of them is." },
  { name: "HTTPRouteRequestTimeout", meaning: "A request is limited in time." },
  { name: "HTTPRouteResponseHeaderModification", meaning: "Response headers are changed." },
  { name: "HTTPRouteRetry", meaning: "Answers of chosen status codes are tried again." },
  { name: "HTTPRouteRetryBackendTimeout", meaning: "So are attempts that took too long." },
  { name: "HTTPRouteRetryConnectionError", meaning: "So are connections that failed." },
  { name: "HTTPRouteSchemeRedirect", meaning: "Redirects change the scheme." },
  { name: "Mesh", meaning: "Services are served by a mesh, routes attached or not." },
  {
    name: "MeshClusterIPMatching",
    meaning: "A Service is recognised by the address that was dialled, not by the Host header.",
  },
  {
    name: "MeshConsumerRoute",
    meaning: "A route in the client's namespace holds for the clients of that namespace.",
  },
  {
    name: "MeshHTTPRouteBackendRequestHeaderModification",
    meaning: "As HTTPRouteBackendRequestHeaderModification, on Services.",
  },
  { name: "MeshHTTPRouteNamedRouteRule", meaning: "As HTTPRouteNamedRouteRule, on Services." },
  {
    name: "MeshHTTPRouteQueryParamMatching",
    meaning: "As HTTPRouteQueryParamMatching, on Services.",
  },
  { name: "MeshHTTPRouteRedirectPath", meaning: "As HTTPRoutePathRedirect, on Services." },
  { name: "MeshHTTPRouteRedirectPort", meaning: "As HTTPRoutePortRedirect, on Services." },
  { name: "MeshHTTPRouteRewritePath", meaning: "As HTTPRoutePathRewrite, on Services." },
  { name: "MeshHTTPRouteSchemeRedirect", meaning: "As HTTPRouteSchemeRedirect, on Services." },
  { name: "ReferenceGrant", meaning: "Backends in other namespaces need a grant." },
  { name: "TCPRoute", meaning: "TCP connections are shared out by weight." },
  { name: "TLSRoute", meaning: "TLS connections are passed on by server name." },
  { name: "UDPRoute", meaning: "UDP flows are shared out by weight, in the kernel." },
];

/** Markdown: the table of features. */
export function formatMeshFeatures(): string {
  const rows = MESH_FEATURES.map(({ name, meaning }) => `| \`${name}\` | ${meaning} |\n`);
  return `| Feature | Meaning |\n|---|---|\n${rows.join("")}`;
}

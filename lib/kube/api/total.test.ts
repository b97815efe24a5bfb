// Parsers are total: whatever JSON comes, they return.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isReservedAddress, parseAddress } from "../../ip/address.ts";
import { parseClusterNetworkPolicy } from "./cluster-network-policy.ts";
import { parseEndpointSlice } from "./endpoint-slice.ts";
import { parseGrpcRoute } from "./grpc-route.ts";
import { parseHttpRoute } from "./http-route.ts";
import { parseMeshPolicy } from "./mesh-policy.ts";
import { parseNamespace } from "./namespace.ts";
import { parseNetworkPolicy } from "./network-policy.ts";
import { parseNode } from "./node.ts";
import { parsePod } from "./pod.ts";
import { parseReferenceGrant } from "./reference-grant.ts";
import { parseService } from "./service.ts";
import { parseConfigMap } from "./config-map.ts";
import { parseServiceAccount } from "./service-account.ts";
import { parseServiceAccountPolicy } from "./service-account-policy.ts";
import { parseServiceCidr } from "./service-cidr.ts";
import { parseTcpRoute } from "./tcp-route.ts";
import { parseTlsRoute } from "./tls-route.ts";
import { parseUdpRoute } from "./udp-route.ts";
import { parseXMesh } from "./x-mesh.ts";

const anything = fc.jsonValue();
const address = fc.oneof(fc.ipV4(), fc.ipV6(), anything);
const text = fc.oneof(fc.string(), anything);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof(value, anything);
const record = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  maybe(fc.record(fields, { requiredKeys: [] }));
const list = (item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  maybe(fc.array(item, { maxLength: 4 }));

const metadata = fc.record(
  {
    name: fc.constant("web"),
    namespace: fc.oneof(fc.constant("default"), text),
    uid: text,
    resourceVersion: text,
    creationTimestamp: text,
    labels: fc.oneof(fc.constant({ "kubernetes.io/service-name": "web" }), anything),
    annotations: anything,
  },
  { requiredKeys: ["name"] },
);
const port = record({
  name: text,
  protocol: maybe(fc.constantFrom("TCP", "UDP", "SCTP")),
  port: maybe(fc.integer({ min: -1, max: 65_536 })),
  nodePort: anything,
});
const reference = record({ group: text, kind: text, namespace: text, name: text, port: anything });
const named = record({ name: text, type: text, value: text });
const pathChange = record({
  type: maybe(fc.constantFrom("ReplaceFullPath", "ReplacePrefixMatch")),
  replaceFullPath: text,
  replacePrefixMatch: text,
});
const filter = record({
  type: maybe(
    fc.constantFrom(
      "RequestHeaderModifier",
      "RequestRedirect",
      "URLRewrite",
      "RequestMirror",
      "CORS",
    ),
  ),
  requestHeaderModifier: record({ set: list(named), add: list(named), remove: list(text) }),
  requestRedirect: record({ scheme: text, hostname: text, port: anything, path: pathChange }),
  urlRewrite: record({ hostname: text, path: pathChange }),
  requestMirror: record({ backendRef: reference, percent: anything, fraction: anything }),
  cors: record({ allowOrigins: list(text), allowMethods: list(text), maxAge: anything }),
});
const routeRule = record({
  name: text,
  matches: list(
    record({
      path: record({ type: text, value: text }),
      method: record({ type: text, service: text, method: text }),
      headers: list(named),
      queryParams: list(named),
    }),
  ),
  filters: list(filter),
  backendRefs: list(fc.oneof(reference, record({ weight: anything, filters: list(filter) }))),
  timeouts: record({ request: text, backendRequest: text }),
  retry: record({ codes: list(anything), attempts: anything, backoff: text }),
  sessionPersistence: record({ type: text, sessionName: text, absoluteTimeout: text }),
});
const selector = record({
  matchLabels: maybe(fc.dictionary(fc.string(), text)),
  matchExpressions: list(record({ key: text, operator: text, values: list(text) })),
});
const policyPeer = record({
  podSelector: selector,
  namespaceSelector: selector,
  ipBlock: record({ cidr: text, except: list(text) }),
  serviceAccounts: list(record({ name: text, namespace: text, namespaceSelector: selector })),
  namespaces: selector,
  pods: record({ namespaceSelector: selector, podSelector: selector }),
  networks: list(text),
  domainNames: list(text),
});
const policyRule = record({
  name: text,
  action: maybe(fc.constantFrom("Accept", "Deny", "Pass")),
  from: list(policyPeer),
  to: list(policyPeer),
  ports: list(record({ protocol: text, port: anything, endPort: anything })),
  protocols: list(
    record({ tcp: record({ destinationPort: anything }), destinationNamedPort: text }),
  ),
  http: list(record({ methods: list(text), path: record({ type: text, value: text }) })),
  grpc: list(record({ service: text, method: text })),
});
const spec = record({
  podSelector: selector,
  policyTypes: list(text),
  ingress: list(policyRule),
  egress: list(policyRule),
  subject: policyPeer,
  tier: text,
  priority: anything,
  default: text,
  exceptions: list(policyPeer),
  containers: list(record({ ports: list(port) })),
  nodeName: text,
  serviceAccountName: text,
  hostNetwork: anything,
  parentRefs: list(reference),
  hostnames: list(text),
  rules: list(routeRule),
  from: list(reference),
  to: list(reference),
  type: maybe(fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
  clusterIP: address,
  clusterIPs: list(address),
  ports: list(port),
  externalIPs: list(address),
  loadBalancerSourceRanges: list(text),
  sessionAffinity: maybe(fc.constantFrom("None", "ClientIP")),
  sessionAffinityConfig: anything,
  externalTrafficPolicy: text,
  podCIDRs: list(text),
  taints: anything,
  cidrs: list(text),
});
const status = record({
  phase: maybe(fc.constantFrom("Running", "Succeeded", "Failed")),
  podIP: address,
  podIPs: list(record({ ip: address })),
  loadBalancer: record({ ingress: list(record({ ip: address, ipMode: text })) }),
  addresses: list(record({ type: fc.constantFrom("InternalIP", "Hostname"), address })),
});
const endpoint = record({
  addresses: list(address),
  conditions: record({ ready: anything, serving: anything, terminating: anything }),
  nodeName: text,
  zone: text,
  hints: record({ forZones: list(record({ name: text })), forNodes: anything }),
});
const object = fc.record(
  {
    metadata: fc.oneof({ arbitrary: metadata, weight: 8 }, { arbitrary: anything, weight: 1 }),
    spec,
    status,
    addressType: maybe(fc.constantFrom("IPv4", "IPv6", "FQDN")),
    ports: list(port),
    endpoints: list(endpoint),
  },
  { requiredKeys: [] },
);

const PARSERS = {
  parseService,
  parseEndpointSlice,
  parseNode,
  parseServiceCidr,
  parseNamespace,
  parsePod: (value: unknown) => parsePod(value),
  parseServiceAccount,
  parseConfigMap,
  parseHttpRoute,
  parseGrpcRoute,
  parseTcpRoute,
  parseUdpRoute,
  parseTlsRoute,
  parseReferenceGrant,
  parseXMesh,
  parseNetworkPolicy,
  parseClusterNetworkPolicy,
  parseServiceAccountPolicy,
  parseMeshPolicy,
};

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name} returns for every JSON value`, () => {
    fc.assert(
      fc.property(fc.oneof(anything, object), (value) => {
        const parsed = parse(value);
        assert.ok(["ok", "ignored", "invalid"].includes(parsed.kind));
        if (parsed.kind === "invalid") assert.ok(parsed.problems.length > 0);
      }),
    );
  });
}

test("every address that leaves a parser is canonical and may be sent to", () => {
  fc.assert(
    fc.property(object, (value) => {
      const service = parseService(value);
      const slice = parseEndpointSlice(value);
      const addresses = [
        ...(service.kind === "ok" ? service.object.clusterIPs : []),
        ...(service.kind === "ok" ? service.object.externalIPs : []),
        ...(service.kind === "ok" ? service.object.loadBalancerVips : []),
        ...(slice.kind === "ok" ? slice.object.endpoints.map((one) => one.address) : []),
      ];
      for (const one of addresses) {
        assert.equal(parseAddress(one), one);
        assert.equal(isReservedAddress(one), false);
      }
    }),
    { numRuns: 500 },
  );
});

test("values that no JSON has, such as cycles, are survived too", () => {
  const cycle: Record<string, unknown> = { name: "web" };
  cycle["metadata"] = cycle;
  const lists = { ports: [cycle], rules: [cycle], parentRefs: [cycle], from: [cycle], to: [cycle] };
  const policy = { podSelector: cycle, subject: cycle, ingress: [cycle], egress: [cycle] };
  cycle["spec"] = { clusterIP: cycle, type: cycle, ...lists, ...policy, exceptions: [cycle] };
  for (const list of ["matches", "filters", "backendRefs", "ports", "http"]) cycle[list] = [cycle];
  for (const parse of Object.values(PARSERS)) assert.ok(parse(cycle));
  assert.ok(parseService(10n));
});

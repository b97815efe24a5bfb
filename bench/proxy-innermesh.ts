// Our lanes: `innermesh node` on the node, with Services whose only endpoint is the backend. The
// agent's workers are its children, and all of them share the processor that a peer has.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NodeProcess } from "../playground/node-process.ts";
import { openProbe } from "../playground/probe.ts";
import { clusterCidrs, serviceCidrs } from "../playground/topology.ts";
import type { ProxyStage } from "./proxy-stage.ts";
import { PROXY_SERVICES, type ProxyService, type ProxySubject } from "./proxy-subject.ts";
import type { Target } from "./rig.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/innermesh", import.meta.url));
const PORT = 80;
const APP_PROTOCOLS: Readonly<Record<ProxyService, string | undefined>> = {
  http: "http",
  websocket: "kubernetes.io/ws",
  http2: "kubernetes.io/h2c",
  grpc: "kubernetes.io/h2c",
  tcp: undefined,
};

/**
 * Starts the agent; every Service answers when it resolves.
 * @returns two subjects of one process: the L4 lane for `tcp`, the L7 lane for all others
 */
export async function startInnermesh(stage: ProxyStage): Promise<readonly ProxySubject[]> {
  const directory = join(stage.directory, "cluster");
  await mkdir(directory);
  await writeFile(join(directory, "cluster.json"), manifests(stage));
  const argv = [
    LAUNCHER,
    "node",
    `--hostname-override=${stage.node.name}`,
    `--source=dir:${directory}`,
    `--cluster-cidr=${clusterCidrs.ip},${clusterCidrs.ip6}`,
    "--proxy-mode=userspace",
    // The conntrack limit belongs to the machine, not to a namespace.
    "--conntrack-max-per-core=0",
  ];
  const child = stage.spawnProxy(argv, "pipe");
  const agent = new NodeProcess(child, openProbe(stage.playground, stage.node.netns));
  await agent.healthy();
  for (const service of PROXY_SERVICES) await stage.awaitAnswer(service, vip(service));
  const lane = (key: "innermesh-l4" | "innermesh-l7"): ProxySubject => ({
    key,
    subject: key,
    pid: agent.pid,
    target: (service) => {
      return (service === "tcp") === (key === "innermesh-l4") ? vip(service) : undefined;
    },
  });
  return [lane("innermesh-l4"), lane("innermesh-l7")];
}

function vip(service: ProxyService): Target {
  return { address: `10.96.0.${10 + PROXY_SERVICES.indexOf(service)}`, port: PORT };
}

function manifests(stage: ProxyStage): string {
  const { node } = stage;
  const cluster = [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: [serviceCidrs.ip, serviceCidrs.ip6] },
    },
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: node.name },
      spec: { podCIDRs: [node.podCidrs.ip, node.podCidrs.ip6] },
      status: { addresses: [{ type: "InternalIP", address: node.addresses.ip }] },
    },
  ];
  const services = PROXY_SERVICES.flatMap((service) =>
    serviceObjects(service, node.name, stage.backend(service)),
  );
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: [...cluster, ...services] });
}

function serviceObjects(name: ProxyService, nodeName: string, backend: Target): unknown[] {
  const { address } = vip(name);
  const appProtocol = APP_PROTOCOLS[name];
  const port = { name: "main", protocol: "TCP", ...(appProtocol && { appProtocol }) };
  const objects: unknown[] = [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { namespace: "default", name },
      spec: {
        type: "ClusterIP",
        clusterIP: address,
        clusterIPs: [address],
        ports: [{ ...port, port: PORT, targetPort: backend.port }],
      },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        namespace: "default",
        name: `${name}-1`,
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: "IPv4",
      ports: [{ ...port, port: backend.port }],
      endpoints: [{ addresses: [backend.address], nodeName, conditions: { ready: true } }],
    },
  ];
  return name === "tcp" ? objects : [...objects, routeOf(name)];
}

/** One rule that matches everything: what the peers' configurations say. */
function routeOf(name: ProxyService): unknown {
  const parentRefs = [{ group: "", kind: "Service", name, port: PORT }];
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: name === "grpc" ? "GRPCRoute" : "HTTPRoute",
    metadata: { namespace: "default", name },
    spec: { parentRefs, rules: [{ backendRefs: [{ name, port: PORT }] }] },
  };
}

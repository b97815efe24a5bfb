// core/v1 Pod: who has which address on a node, and what its labels say.

import { parseAddress } from "../../ip/address.ts";
import {
  asList,
  asPort,
  asRecord,
  asText,
  formatValue,
  type JsonRecord,
  textRecord,
} from "./fields.ts";
import { invalidObject, isName, readHead } from "./head.ts";
import { type Intern, type Labels, noIntern } from "./intern.ts";
import { isPortName, isTransportProtocol, type TransportProtocol } from "./network-policy.ts";
import type { Parsed } from "./parsed.ts";

export interface Pod {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Empty while it is not scheduled. */
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** Canonical, at most one of each family; empty for one of the host's network, and when over. */
  readonly addresses: readonly string[];
  readonly labels: Labels;
  /** Those of its containers that have names. */
  readonly ports: readonly ContainerPort[];
  /** It shares its node's network: its addresses are the node's. */
  readonly hostNetwork: boolean;
  /** All its containers have ended for good. */
  readonly isOver: boolean;
  /** Istio's ambient data plane takes its connections, and tunnels come to it. */
  readonly ambientRedirection: boolean;
}

export interface ContainerPort {
  readonly name: string;
  readonly protocol: TransportProtocol;
  readonly port: number;
}

/** Shares what many pods repeat, when those of a whole cluster are kept: 320 bytes a pod. */
export interface PodInterns {
  readonly text: Intern;
  readonly labels: (labels: Labels) => Labels;
  readonly ports: (ports: Pod["ports"]) => Pod["ports"];
}

const NO_INTERNS: PodInterns = { text: noIntern, labels: (same) => same, ports: (same) => same };
const NO_PORTS: Pod["ports"] = [];
const MAX_PORTS = 256;
const OVER = new Set(["Succeeded", "Failed"]);
const AMBIENT_ANNOTATION = "ambient.istio.io/redirection";

/**
 * Reads a Pod. Never throws. Addresses of a pod that shares the host's network are the node's, and
 * those of one that is over may belong to another by now: neither is told. One whose ServiceAccount
 * has no possible name is invalid: it must not pass for another.
 */
export function parsePod(value: unknown, interns: PodInterns = NO_INTERNS): Parsed<Pod> {
  const head = readHead("Pod", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, metadata, spec, status, problems } = head;
  const serviceAccount = asText(spec["serviceAccountName"]) || "default";
  if (!isName(serviceAccount)) {
    problems.add("spec.serviceAccountName", `want a name: got ${formatValue(serviceAccount)}`);
    return invalidObject(head);
  }
  const hostNetwork = spec["hostNetwork"] === true;
  const isOver = OVER.has(asText(status["phase"]));
  const listed = asList(status["podIPs"]).map((one) => asRecord(one)["ip"]);
  const addresses = [...listed, status["podIP"]].flatMap((one) => parseAddress(one) ?? []);
  const ports = readPorts(spec);
  const object: Pod = {
    kind: "Pod",
    namespace: interns.text(namespace),
    name,
    uid,
    resourceVersion,
    nodeName: interns.text(asText(spec["nodeName"])),
    serviceAccount: interns.text(serviceAccount),
    addresses: hostNetwork || isOver ? [] : [...new Set(addresses)].slice(0, 2),
    labels: interns.labels(textRecord(metadata["labels"])),
    ports: ports.length === 0 ? NO_PORTS : interns.ports(ports),
    hostNetwork,
    isOver,
    ambientRedirection: asRecord(metadata["annotations"])[AMBIENT_ANNOTATION] === "enabled",
  };
  return { kind: "ok", object, problems: problems.take() };
}

/** Of containers that run as long as the pod does: of init containers, sidecars alone. */
function readPorts(spec: JsonRecord): Pod["ports"] {
  const sidecars = asList(spec["initContainers"]).filter(
    (container) => asRecord(container)["restartPolicy"] === "Always",
  );
  const containers = [...sidecars, ...asList(spec["containers"])];
  const ports = containers.flatMap((container) => asList(asRecord(container)["ports"]));
  return ports.slice(0, MAX_PORTS).flatMap((value) => {
    const { name, protocol = "TCP", containerPort } = asRecord(value);
    const port = asPort(containerPort);
    if (!isPortName(name) || !isTransportProtocol(protocol) || port === undefined) return [];
    return [{ name, protocol, port }];
  });
}

// discovery.k8s.io/v1 EndpointSlice: the fields Innermesh reads, checked at the edge.

import { asList, asPort, asRecord, asText, formatValue, readAddress } from "./fields.ts";
import { type Head, invalidObject, readHead } from "./head.ts";
import { type Intern, noIntern } from "./intern.ts";
import type { Parsed } from "./parsed.ts";
import { asProtocol, type IpFamily, type Protocol } from "./service.ts";

export interface SlicePort {
  /** "" when unset, which matches an unnamed Service port. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535; slice ports without a number are dropped by the parser, as in kube-proxy. */
  readonly port: number;
}

export interface SliceEndpoint {
  /** The first address, canonical. The API says to use only this one. */
  readonly address: string;
  /** Conditions with their nil meanings applied: ready and serving true, terminating false. */
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly hintedZones?: readonly string[];
  readonly hintedNodes?: readonly string[];
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** From label kubernetes.io/service-name; slices without it are not stored. */
  readonly serviceName: string;
  readonly addressType: IpFamily;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** From annotation endpoints.kubernetes.io/last-change-trigger-time, ms since 1970. */
  readonly lastChangeTriggerMs?: number;
}

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

/**
 * Reads an EndpointSlice. Never throws. FQDN slices and slices of no Service are ignored; an
 * unreadable endpoint or port is dropped with a problem.
 * @param intern shares repeated strings; worth it when many slices are kept
 */
export function parseEndpointSlice(
  value: unknown,
  intern: Intern = noIntern,
): Parsed<EndpointSlice> {
  const head = readHead("EndpointSlice", "namespaced", value);
  if (head.kind === "invalid") return head;
  // addressType, ports and endpoints stand beside metadata: a slice has no spec.
  const fields = asRecord(value);
  const { metadata, problems } = head;
  const addressType = fields["addressType"];
  if (addressType === "FQDN") return { kind: "ignored", key: head.key, why: "fqdn" };
  const serviceName = asText(asRecord(metadata["labels"])[SERVICE_NAME_LABEL]);
  if (serviceName === "") return { kind: "ignored", key: head.key, why: "no-service-name" };
  if (addressType !== "IPv4" && addressType !== "IPv6") {
    problems.add("addressType", `want IPv4, IPv6 or FQDN: got ${formatValue(addressType)}`);
    return invalidObject(head);
  }
  const trigger = asRecord(metadata["annotations"])[TRIGGER_TIME_ANNOTATION];
  const lastChangeTriggerMs = Date.parse(asText(trigger));
  const object: EndpointSlice = {
    kind: "EndpointSlice",
    namespace: intern(head.namespace),
    name: head.name,
    uid: head.uid,
    resourceVersion: head.resourceVersion,
    serviceName: intern(serviceName),
    addressType,
    ports: readPorts(head, fields["ports"]),
    endpoints: readEndpoints(head, fields["endpoints"], addressType, intern),
    ...(!Number.isNaN(lastChangeTriggerMs) && { lastChangeTriggerMs }),
  };
  return { kind: "ok", object, problems: problems.take() };
}

/** Ports without a number are dropped silently: that is how a slice says "all ports". */
function readPorts({ problems }: Head, value: unknown): readonly SlicePort[] {
  return asList(value).flatMap((item, i): readonly SlicePort[] => {
    const fields = asRecord(item);
    const number = fields["port"] ?? 0;
    if (number === 0) return [];
    const port = asPort(number);
    const protocol = asProtocol(fields["protocol"]);
    if (port !== undefined && protocol !== undefined) {
      return [{ name: asText(fields["name"]), protocol, port }];
    }
    const got = `${formatValue(fields["protocol"])} ${formatValue(number)}`;
    problems.add(`ports[${i}]`, `want TCP, UDP or SCTP and a port from 1 to 65535: got ${got}`);
    return [];
  });
}

function readEndpoints(
  head: Head,
  value: unknown,
  family: IpFamily,
  intern: Intern,
): readonly SliceEndpoint[] {
  const endpoints: SliceEndpoint[] = [];
  let index = 0;
  for (const item of asList(value)) {
    const endpoint = readEndpoint(head, item, index++, family, intern);
    if (endpoint !== undefined) endpoints.push(endpoint);
  }
  return endpoints;
}

function readEndpoint(
  { problems }: Head,
  value: unknown,
  index: number,
  family: IpFamily,
  intern: Intern,
): SliceEndpoint | undefined {
  const fields = asRecord(value);
  const field = `endpoints[${index}].addresses[0]`;
  const address = readAddress(asList(fields["addresses"])[0], field, problems);
  if (address === undefined) return undefined;
  if (address.includes(":") !== (family === "IPv6")) {
    problems.add(field, `want an address of addressType ${family}: got ${address}`);
    return undefined;
  }
  const conditions = asRecord(fields["conditions"]);
  const { nodeName, zone } = fields;
  const hints = asRecord(fields["hints"]);
  const hintedZones = readNames(hints["forZones"], intern);
  const hintedNodes = readNames(hints["forNodes"], intern);
  return {
    address,
    ready: conditions["ready"] !== false,
    serving: conditions["serving"] !== false,
    terminating: conditions["terminating"] === true,
    ...(typeof nodeName === "string" && { nodeName: intern(nodeName) }),
    ...(typeof zone === "string" && { zone: intern(zone) }),
    ...(hintedZones.length > 0 && { hintedZones }),
    ...(hintedNodes.length > 0 && { hintedNodes }),
  };
}

function readNames(value: unknown, intern: Intern): readonly string[] {
  return asList(value).flatMap((item) => {
    const name = asText(asRecord(item)["name"]);
    return name === "" ? [] : [intern(name)];
  });
}

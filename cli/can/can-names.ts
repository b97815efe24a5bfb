// Who is meant by the words after `can`: a pod, the pods of a ServiceAccount, the endpoints of a
// Service, an address.

import { parseAddress } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Service, ServicePort } from "../../lib/kube/api/service.ts";
import { gatherEndpoints } from "../../service-proxy/model/endpoint.ts";
import { WrongUse } from "../exit.ts";
import type { CanWorld, Party } from "./can-world.ts";

export type Protocol = "TCP" | "UDP" | "SCTP";

export interface NamedServer {
  readonly party: Party;
  readonly port: number;
  /** A proxy lane leads there. */
  readonly isProxied: boolean;
}

/** @throws WrongUse */
export function clientsOf(world: CanWorld, text: string): readonly Party[] {
  const address = parseAddress(text);
  if (address !== undefined) return [world.at(address)];
  return withAddresses(podsOf(world, text), world, text);
}

/** @throws WrongUse */
export function serversOf(
  world: CanWorld,
  text: string,
  protocol: Protocol,
): readonly NamedServer[] {
  const match = /^(?:\[([^\]]+)\]|(.+)):([^:]+)$/.exec(text);
  const [, bracketed, plain = bracketed ?? "", port = ""] = match ?? [];
  if (match === null) {
    throw new WrongUse(`Cannot read "${text}": write NAMESPACE/POD:PORT, ADDRESS:PORT or others`);
  }
  const address = parseAddress(plain);
  if (address !== undefined) {
    const party = world.at(address);
    return [{ party, port: portOf(party.pod, port, protocol, text), isProxied: false }];
  }
  const [namespace = "", kind, name] = plain.split("/");
  if (kind === "svc" && name !== undefined) {
    return endpointsOf(world, `${namespace}/${name}`, port, protocol);
  }
  return podsOf(world, plain).flatMap((pod) =>
    withAddresses([pod], world, plain).map((party) => ({
      party,
      port: portOf(pod, port, protocol, text),
      isProxied: false,
    })),
  );
}

function podsOf({ snapshot: { store } }: CanWorld, text: string): readonly Pod[] {
  const [namespace = "", kind, name] = text.includes("/") ? text.split("/") : ["default", text];
  if (kind === "sa" && name !== undefined) {
    const found = [...store.pods.values()].filter(
      (pod) => pod.namespace === namespace && pod.serviceAccount === name && !pod.isOver,
    );
    if (found.length > 0) return found;
    throw new WrongUse(`Cannot find a pod of ServiceAccount "${namespace}/${name}" in the source`);
  }
  const pod = name === undefined ? store.pods.get(`${namespace}/${kind ?? ""}`) : undefined;
  if (pod !== undefined) return [pod];
  throw new WrongUse(`Cannot find Pod "${text}" in the source`);
}

function withAddresses(pods: readonly Pod[], world: CanWorld, text: string): readonly Party[] {
  const parties = pods.flatMap((pod) => world.addressesOf(pod));
  if (parties.length === 0) throw new WrongUse(`Cannot judge "${text}": it has no address yet`);
  return parties;
}

function portOf(pod: Pod | undefined, text: string, protocol: Protocol, whole: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65_535) return number;
  const named = pod?.ports.find((port) => port.name === text && port.protocol === protocol);
  if (named !== undefined) return named.port;
  throw new WrongUse(`Cannot find ${protocol} port "${text}" of "${whole}"`);
}

/** Those that get traffic: ready ones or, where none is, those that serve while they end. */
function endpointsOf(
  world: CanWorld,
  key: string,
  port: string,
  protocol: Protocol,
): readonly NamedServer[] {
  const { store, nodeName, plan } = world.snapshot;
  const service = store.services.get(key);
  const found = service?.ports.find(
    (one) => one.protocol === protocol && (one.name === port || String(one.port) === port),
  );
  if (service === undefined || found === undefined) {
    throw new WrongUse(`Cannot find ${protocol} port "${port}" of Service "${key}" in the source`);
  }
  const isProxied = plan.lanes.choice(service, found).lane !== "kernel";
  const all = (["IPv4", "IPv6"] as const).flatMap((family) =>
    gatherEndpoints(store.slicesOf(key).values(), {
      portName: found.name,
      protocol,
      family,
      nodeName,
    }),
  );
  const ready = all.filter((one) => one.ready);
  const used = ready.length > 0 ? ready : all.filter((one) => one.serving);
  if (used.length === 0) throw new WrongUse(noEndpoints(service, found));
  return used.map((one) => ({ party: world.at(one.address), port: one.port, isProxied }));
}

function noEndpoints({ namespace, name }: Service, { port }: ServicePort): string {
  return `Cannot reach Service "${namespace}/${name}": no endpoint of port ${port} is ready`;
}

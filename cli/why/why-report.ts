// What becomes of one connection on one node, and why: who serves the address, which lane takes it,
// where it leads, what policies say of that, and whether the kernel dropped it lately.

import { familyOf } from "../../lib/ip/address.ts";
import type { Denial } from "../../netpol-identity/model/denial-report.ts";
import { clientsOf, type NamedServer, serversOf } from "../can/can-names.ts";
import { type CanReport, reportCan } from "../can/can-report.ts";
import type { CanWorld, Party } from "../can/can-world.ts";
import { type AddressReport, explainAddress, parseQuestion } from "../explain/address-report.ts";
import { WrongUse } from "../exit.ts";
import { type TraceReport, trace } from "../trace/packet-trace.ts";
import type { AskedConnection } from "./connection-words.ts";

export interface WhyReport {
  readonly node: string;
  readonly from: string;
  /** e.g. `10.96.0.10:80/tcp` */
  readonly to: string;
  /** Who has the address that was called. */
  readonly address: AddressReport;
  /** The packet's way through the rules of Services and of identities. */
  readonly trace: TraceReport;
  /** Whether this machine is the node, so that its kernel and agent were asked. */
  readonly isHere: boolean;
  /** Where the kernel's own table says that it leads. */
  readonly live?: { readonly address: string; readonly port: number };
  /** Undefined where it leads nowhere. */
  readonly policies?: CanReport;
  /** Undefined where the node's process could not be asked. */
  readonly denials?: readonly Denial[];
}

/** What only the node itself can tell. */
export interface WhyWitness {
  readonly isHere: boolean;
  /** Where a live connection leads. */
  readonly live: (source: string) => Promise<WhyReport["live"]>;
  readonly denials: () => Promise<readonly Denial[] | undefined>;
}

/** @throws WrongUse, Unreachable */
export async function reportWhy(
  world: CanWorld,
  asked: AskedConnection,
  witness: WhyWitness,
): Promise<WhyReport> {
  const { from, destination, port, protocol } = asked;
  const client = clientOf(world, asked);
  const to = `${joinPort(destination, port)}/${protocol.toLowerCase()}`;
  const traced = await trace(world.snapshot, {
    from: client.node === world.snapshot.nodeName ? "node" : client.address,
    to,
    interface: undefined,
    request: undefined,
    header: [],
  });
  const live = await witness.live(client.address);
  const address = explainAddress(
    { ...world.snapshot, kernel: undefined },
    { address: destination, port },
  );
  const isProxied = traced.proxy !== undefined;
  // Towards a worker's own socket conntrack tells nothing of endpoints.
  const servers =
    live === undefined || isProxied
      ? leadsTo(world, traced, address, asked)
      : [serverAt(world, live, false)];
  const words = { from, to: joinPort(destination, port), protocol, request: undefined };
  const policies = servers.length > 0 && reportCan(world, words, { clients: [client], servers });
  const denials = await witness.denials();
  const targets = new Set([destination, ...servers.map(({ party }) => party.address)]);
  const ofThis = denials?.filter(
    (denial) => denial.source === client.address && targets.has(denial.destination),
  );
  return {
    node: world.snapshot.nodeName,
    from: client.address,
    to,
    address,
    trace: traced,
    isHere: witness.isHere,
    ...(live !== undefined && { live }),
    ...(policies !== false && { policies }),
    ...(ofThis !== undefined && { denials: ofThis }),
  };
}

function clientOf(world: CanWorld, { from, destination }: AskedConnection): Party {
  const family = familyOf(destination);
  const client = clientsOf(world, from).find(({ address }) => familyOf(address) === family);
  if (client !== undefined) return client;
  throw new WrongUse(`Cannot find an ${family} address of "${from}"`);
}

/** Endpoints that chance could draw; none where it is refused or dropped before. */
function leadsTo(
  world: CanWorld,
  { proxy, destinations, verdict }: TraceReport,
  { owners }: AddressReport,
  asked: AskedConnection,
): readonly NamedServer[] {
  // In the words of the trace.
  if (/^(refused|dropped):/.test(verdict)) return [];
  const owner = owners.find(({ servedFor, as }) => servedFor === undefined && as !== "endpoint");
  const targets = proxy?.targets.flatMap(({ endpoints }) => endpoints.map(({ at }) => at));
  // Routes choose by the request: any endpoint may be the one.
  if (targets?.length === 0 && owner !== undefined) {
    return endpointsOf(world, owner.service, owner.as === "NodePort" ? "nodePort" : "port", asked);
  }
  const places = targets ?? destinations;
  return [...new Set(places)].flatMap((place) => {
    const { address, port } = parseQuestion(place) ?? {};
    if (address === undefined || port === undefined) return [];
    return [serverAt(world, { address, port }, proxy !== undefined)];
  });
}

function endpointsOf(
  world: CanWorld,
  key: string,
  by: "port" | "nodePort",
  { port, protocol }: AskedConnection,
): readonly NamedServer[] {
  const service = world.snapshot.store.services.get(key);
  const found = service?.ports.find((one) => one[by] === port && one.protocol === protocol);
  if (service === undefined || found === undefined) return [];
  const { namespace, name } = service;
  return serversOf(world, `${namespace}/svc/${name}:${found.port}`, protocol);
}

function serverAt(
  world: CanWorld,
  { address, port }: { readonly address: string; readonly port: number },
  isProxied: boolean,
): NamedServer {
  return { party: world.at(address), port, isProxied };
}

function joinPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

// One packet's way through a node's planned rules, and on to a proxy worker where one takes it.

import type { RequestHead } from "../../lib/http/message.ts";
import { parseAddress } from "../../lib/ip/address.ts";
import { cidrContains } from "../../lib/ip/cidr.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import {
  type TracePacket,
  type TraceResult,
  traceEveryDraw,
  tracePacket,
} from "../../lib/nft/trace.ts";
import { ALIVE_RENEWAL, transaction, wholeTransaction } from "../../service-proxy/plan/changes.ts";
import { DELIVERED_MARK } from "../../service-proxy/plan/lane-marks.ts";
import { makeClientReader } from "../../service-proxy/plan/pod-clients.ts";
import { TABLE } from "../../service-proxy/plan/ruleset.ts";
import { Unreachable, WrongUse } from "../exit.ts";
import { podAddresses } from "../pod-addresses.ts";
import type { Snapshot } from "../snapshot.ts";
import { identityVerdict, tunnelTo } from "./identity-step.ts";
import { type LaneConnection, type ProxyStep, proxyStep } from "./proxy-step.ts";
import { parseRequest } from "./request-option.ts";

/** What is asked about. */
export interface TraceQuestion {
  /** `NAMESPACE/POD`, an address, or `node`. */
  readonly from: string;
  /** `ADDRESS:PORT` or `NAMESPACE/SERVICE:PORT`, perhaps with `/udp` behind. */
  readonly to: string;
  /** Undefined: guessed from the sender's address. */
  readonly interface: string | undefined;
  /** e.g. `GET /path` */
  readonly request: string | undefined;
  /** Each `name:value`. */
  readonly header: readonly string[];
}

type Protocol = "tcp" | "udp" | "sctp";

interface Destination {
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** What `-o json` prints. */
export interface TraceReport {
  readonly node: string;
  readonly from: string;
  readonly to: string;
  readonly verdict: string;
  /** Every endpoint that chance could draw. */
  readonly destinations: readonly string[];
  /** The kernel rewrites the destination. */
  readonly translated: boolean;
  readonly masquerade: boolean;
  readonly steps: TraceResult["steps"];
  /** The request asked about. */
  readonly request?: string;
  /** What a proxy worker does next; undefined where none is asked. */
  readonly proxy?: ProxyStep;
}

/**
 * Traces one packet, and one request where a worker takes it.
 * @throws WrongUse, Unreachable
 */
export async function trace(snapshot: Snapshot, args: TraceQuestion): Promise<TraceReport> {
  const to = destinationOf(snapshot, args.to);
  const family = to.address.includes(":") ? "ip6" : "ip";
  const source = await sourceOf(snapshot, args, family);
  const plan = snapshot.plan.families.find(({ options }) => options.family === family);
  const kernel = makeFakeKernel();
  if (plan !== undefined) {
    // As while proxy workers live.
    const alive = transaction(family, ALIVE_RENEWAL);
    await kernel.commit([wholeTransaction(plan), alive]);
  }
  const table = kernel.table(family, TABLE);
  if (plan === undefined || table === undefined)
    throw new Unreachable(`Cannot trace: no ${family} table is planned`);
  const node = snapshot.store.nodes.get(snapshot.nodeName);
  const localAddresses = new Set(node?.addresses.map(({ address }) => address));
  const packet = {
    ...source,
    destination: to.address,
    destinationPort: to.port,
    protocol: to.protocol,
  };
  const results = traceEveryDraw((random) =>
    tracePacket(table, packet, { localAddresses, random, deliveredMark: DELIVERED_MARK }),
  );
  const [first] = results;
  if (first === undefined) throw new Unreachable("Cannot trace: nothing came of it");
  const through = packet.interface === undefined ? "the node itself" : packet.interface;
  const request = requestOf(args);
  const isInside = first.listenerPort === snapshot.settings.proxy.insidePort;
  const client = clientOf(snapshot, packet, isInside);
  const caller = { address: client.address, isHost: client.kind === "host" };
  const proxy =
    first.verdict === "lane"
      ? proxyStep(
          plan,
          {
            ...to,
            client,
            tunnelTo: (endpoint) => tunnelTo(snapshot.identities, caller, endpoint),
          },
          request,
        )
      : undefined;
  return {
    node: snapshot.nodeName,
    from: `${source.source} (${through})`,
    to: `${joinPort(to.address, to.port)}/${to.protocol}`,
    verdict: identityVerdictOf(snapshot, packet, results) ?? verdictOf(first),
    destinations: [...new Set(results.map((r) => joinPort(r.destination, r.destinationPort)))],
    translated: first.translated,
    masquerade: first.masquerade,
    steps: first.steps,
    ...(args.request === undefined ? {} : { request: args.request }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

function requestOf({ request, header, to }: TraceQuestion): RequestHead | undefined {
  if (request !== undefined) return parseRequest(request, header, to.replace(/\/(tcp|udp)$/, ""));
  if (header.length > 0) throw new WrongUse("--header says nothing without --request");
  return undefined;
}

/** Who a worker takes the sender for. */
function clientOf(
  { store, nodeName }: Snapshot,
  { source: address, interface: through }: TracePacket,
  isInside: boolean,
): LaneConnection["client"] {
  if (through === undefined) return { address, kind: "host" };
  if (!isInside) return { address, kind: "outside" };
  const pod = makeClientReader(nodeName)(store.pods.values()).get(address);
  if (pod === undefined) return { address, kind: "pod" };
  return { address, kind: "pod", namespace: pod.namespace };
}

/** What the table lets pass may meet the tables of identities behind it. */
function identityVerdictOf(
  snapshot: Snapshot,
  packet: TracePacket & { readonly protocol: Protocol },
  results: readonly TraceResult[],
): string | undefined {
  const passed = results.filter(({ verdict }) => verdict === "accept");
  return identityVerdict(snapshot, {
    ...packet,
    destinations: passed.map(({ destination: address, destinationPort: port }) => ({
      address,
      port,
    })),
    translated: passed.some(({ translated }) => translated),
  });
}

function verdictOf(result: TraceResult): string {
  if (result.verdict === "lane") {
    return `taken by a proxy worker of this node, at its port ${result.listenerPort ?? 0}`;
  }
  if (result.verdict === "reject") return "refused: the sender is told so at once";
  if (result.verdict === "drop") return "dropped: the sender sees a timeout";
  return result.translated ? "translated" : "untouched: no Service of ours is there";
}

async function sourceOf(
  { store, nodeName, settings }: Snapshot,
  { from, interface: given }: TraceQuestion,
  family: "ip" | "ip6",
): Promise<{ readonly source: string; readonly interface?: string }> {
  const node = store.nodes.get(nodeName);
  const ofFamily = (address: string): boolean => address.includes(":") === (family === "ip6");
  if (from === "node") {
    const own = node?.addresses.map(({ address }) => address).find(ofFamily);
    if (own === undefined) throw new Unreachable(`Cannot find an address of node "${nodeName}"`);
    return { source: own };
  }
  const address = parseAddress(from) ?? (await podAddresses(settings, from)).find(ofFamily);
  if (address === undefined) throw new WrongUse(`Cannot find an ${family} address of "${from}"`);
  if (!ofFamily(address)) throw new WrongUse(`Cannot send from ${address}: the families differ`);
  const local = node?.podCIDRs.some((cidr) => cidrContains(cidr, address)) ?? false;
  return { source: address, interface: given ?? (local ? podInterface(settings) : "outside") };
}

function podInterface({ detectLocal }: Snapshot["settings"]): string {
  if (detectLocal.kind === "BridgeInterface") return detectLocal.interfaceName;
  return detectLocal.kind === "InterfaceNamePrefix" ? `${detectLocal.prefix}0` : "pod";
}

function destinationOf({ store }: Snapshot, text: string): Destination {
  const match = /^(?:\[(.+)\]|(.+?)):(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (match === null) {
    throw new WrongUse(`Cannot read --to "${text}": write ADDRESS:PORT or NAMESPACE/SERVICE:PORT`);
  }
  const name = match[1] ?? match[2] ?? "";
  const port = Number(match[3]);
  const protocol = (match[4] ?? "tcp") as Protocol;
  const address = parseAddress(name) ?? store.services.get(name)?.clusterIPs[0];
  if (address === undefined) throw new WrongUse(`Cannot find Service "${name}" in the source`);
  return { address, port, protocol };
}

function joinPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

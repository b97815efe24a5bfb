// `innermesh trace`: walks a packet through the planned ruleset and shows every step; where a proxy
// worker takes the connection, also what the worker does with it.

import type { CommandModule } from "yargs";
import { parseAddress } from "../lib/ip/address.ts";
import { cidrContains } from "../lib/ip/cidr.ts";
import { makeFakeKernel } from "../lib/nft/fake-kernel.ts";
import {
  type TracePacket,
  type TraceResult,
  traceEveryDraw,
  tracePacket,
} from "../lib/nft/trace.ts";
import type { RequestHead } from "../lib/http/message.ts";
import { ALIVE_RENEWAL, transaction, wholeTransaction } from "../service-proxy/plan/changes.ts";
import { DELIVERED_MARK } from "../service-proxy/plan/lane-marks.ts";
import { makeClientReader } from "../service-proxy/plan/pod-clients.ts";
import { TABLE } from "../service-proxy/plan/ruleset.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { formatOutput, OUTPUT_FORMATS, type OutputFormat } from "./output.ts";
import { withNode } from "./plan.ts";
import { podAddresses } from "./pod-addresses.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { type LaneConnection, type ProxyStep, proxyStep } from "./trace/proxy-step.ts";
import { parseRequest } from "./trace/request-option.ts";
import { formatTrace } from "./trace/trace-text.ts";

interface TraceArguments {
  readonly from: string;
  readonly to: string;
  readonly node: string | undefined;
  readonly interface: string | undefined;
  readonly request: string | undefined;
  readonly header: readonly string[];
  readonly output: OutputFormat;
  readonly flags: readonly string[];
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

export const traceCommand: CommandModule<object, TraceArguments> = {
  command: "trace [flags..]",
  describe: "Show a packet's way through a node's rules",
  builder: (yargs) =>
    yargs
      .usage("innermesh trace --from POD|ADDRESS|node --to ADDRESS:PORT|SERVICE:PORT[/udp]")
      .option("from", {
        type: "string",
        demandOption: true,
        describe: "NAMESPACE/POD, an address, or `node` for a process of the node itself",
      })
      .option("to", {
        type: "string",
        demandOption: true,
        describe: "ADDRESS:PORT, [IPV6]:PORT or NAMESPACE/SERVICE:PORT; /udp or /sctp after it",
      })
      .option("node", { type: "string", describe: "On this node (--hostname-override)" })
      .option("interface", {
        type: "string",
        describe: "The interface it enters through; guessed when local traffic goes by name",
      })
      .option("request", {
        type: "string",
        describe: 'A request on the connection, "GET /path": which rule of its routes serves it',
      })
      .option("header", {
        alias: "H",
        type: "string",
        array: true,
        nargs: 1,
        default: [],
        describe: "A header of the request, name:value; may be repeated",
      })
      .option("output", {
        alias: "o",
        choices: OUTPUT_FORMATS,
        default: "table" as const,
        describe: "How to print it",
      })
      .positional("flags", { array: true, type: "string", default: [] })
      .example(
        "innermesh trace --source dir:examples/services --from 10.71.1.2 --to default/web:80",
        "a pod's way to a Service",
      )
      .example(
        'innermesh trace --from shop/front --to shop/search:80 --request "GET /" -H x-user-group:beta',
        "which rule serves a request",
      ),
  handler: async (args) => {
    const snapshot = await takeSnapshot(withNode(args.flags, args.node));
    const report = await trace(snapshot, args);
    process.stdout.write(formatOutput(args.output, report, () => formatTrace(report)));
  },
};

async function trace(snapshot: Snapshot, args: TraceArguments): Promise<TraceReport> {
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
  const packet: TracePacket = {
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
  const proxy =
    first.verdict === "lane"
      ? proxyStep(plan, { ...to, client: clientOf(snapshot, packet, isInside) }, request)
      : undefined;
  return {
    node: snapshot.nodeName,
    from: `${source.source} (${through})`,
    to: `${joinPort(to.address, to.port)}/${to.protocol}`,
    verdict: verdictOf(first),
    destinations: [...new Set(results.map((r) => joinPort(r.destination, r.destinationPort)))],
    translated: first.translated,
    masquerade: first.masquerade,
    steps: first.steps,
    ...(args.request === undefined ? {} : { request: args.request }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

function requestOf({ request, header, to }: TraceArguments): RequestHead | undefined {
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
  { from, interface: given }: TraceArguments,
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

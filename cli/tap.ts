// `innermesh tap`: requests that pass this node's proxy, as they end.

import type { CommandModule } from "yargs";
import {
  parseTapFilter,
  TAP_FIELDS,
  type TapFilter,
  type TappedRequest,
} from "../service-proxy/model/admin-protocol.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { connectNode } from "./node-connection.ts";
import { SOCKET_OPTION } from "./options.ts";

type TapOutput = "table" | "json";

interface TapArguments {
  readonly socket: string;
  readonly service: string | undefined;
  readonly route: string | undefined;
  readonly source: string | undefined;
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly status: string | undefined;
  readonly count: number | undefined;
  readonly output: TapOutput;
}

const OUTPUTS: readonly TapOutput[] = ["table", "json"];

export const tapCommand: CommandModule<object, TapArguments> = {
  command: "tap",
  describe: "Stream the requests that pass this node's proxy; secrets are blotted out",
  builder: (yargs) =>
    yargs
      .usage("innermesh tap [filters] [-o table|json]")
      .option("service", { type: "string", describe: "NAMESPACE/NAME, or NAMESPACE/NAME:PORT" })
      .option("route", { type: "string", describe: 'As "HTTPRoute NAMESPACE/NAME"' })
      .option("source", { type: "string", describe: "Namespace of the client, or (host)" })
      .option("method", { type: "string", describe: "GET, POST, …" })
      .option("path", { type: "string", describe: "What the path begins with" })
      .option("status", { type: "string", describe: "404, or a class: 5xx" })
      .option("count", { type: "number", describe: "End after so many requests" })
      .option("socket", SOCKET_OPTION)
      .option("output", {
        alias: "o",
        choices: OUTPUTS,
        default: "table" as const,
        describe: "A line each for people, or JSON with headers",
      })
      .example("innermesh tap --service default/web --status 5xx", "what fails")
      .example("innermesh tap --path /cart -o json", "with headers, for programs")
      .strict(),
  handler: (args) => runTap(args, process.stdout),
};

/**
 * Prints until `count` is reached.
 * @throws WrongUse when the filter is none, Unreachable when the node's process ends
 */
export async function runTap(args: TapArguments, out: NodeJS.WritableStream): Promise<void> {
  const filter = filterOf(args);
  const node = await connectNode(args.socket);
  try {
    node.ask({ verb: "tap", filter });
    for (let shown = 0; args.count === undefined || shown < args.count; shown++) {
      const answer = await node.next();
      if (answer.kind !== "request") throw new Unreachable("The node's process answers otherwise");
      const { record, headers, lost } = answer;
      const tapped = { record, headers, lost };
      out.write(args.output === "json" ? `${JSON.stringify(tapped)}\n` : formatTapped(tapped));
    }
  } finally {
    node.close();
  }
}

function filterOf(args: TapArguments): TapFilter {
  const given = TAP_FIELDS.map((field) => [field, args[field]] as const);
  const filter = parseTapFilter(
    Object.fromEntries(given.filter(([, value]) => value !== undefined)),
  );
  if (typeof filter === "string") throw new WrongUse(filter);
  return filter;
}

/** One line for people. What a client sent is quoted where it could steer a terminal. */
function formatTapped({ record, lost }: TappedRequest): string {
  const { method, authority = "", path = "", status, grpcStatus, flags } = record;
  const parts = [
    record.time.slice(11, 23),
    record.source,
    "→",
    record.service || "-",
    record.endpoint || "-",
    ...(method === undefined ? [record.protocol] : [method, `${authority}${path}`]),
    ...(status === undefined ? [] : [String(status)]),
    ...(grpcStatus === undefined ? [] : [`grpc=${grpcStatus}`]),
    `${record.durationMs.toFixed(1)}ms`,
    ...flags,
    ...(record.route === "" ? [] : [`(${record.route})`]),
    ...(lost === 0 ? [] : [`… ${lost} more not shown`]),
  ];
  return `${parts.map(printable).join(" ")}\n`;
}

function printable(text: string): string {
  return /[\p{Cc}\p{Cf}]/u.test(text) ? JSON.stringify(text) : text;
}

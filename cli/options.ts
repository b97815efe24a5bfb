// Options that several verbs take, each said once.

import { ADMIN_SOCKET } from "../service-proxy/model/admin-protocol.ts";
import { OUTPUT_FORMATS } from "./output.ts";

export const OUTPUT_OPTION = {
  alias: "o",
  choices: OUTPUT_FORMATS,
  default: "table" as const,
  describe: "How to print it",
} as const;

/** `--socket`, of every verb that asks the node's process. */
export const SOCKET_OPTION = {
  type: "string",
  default: ADMIN_SOCKET,
  describe: "The node process's socket",
} as const;

/** `--node`, of verbs that plan: see {@link withNode}. */
export const NODE_OPTION = {
  type: "string",
  describe: "On this node (--hostname-override)",
} as const;

/** The node's own flags, behind all that a verb knows. */
export const FLAGS_POSITIONAL = { array: true, type: "string", default: [] as string[] } as const;

/** Takes one value each time that it is said. */
export const REPEATED_OPTION = { ...FLAGS_POSITIONAL, nargs: 1 } as const;

/** `-H`, of verbs that ask about a request. */
export const HEADER_OPTION = {
  ...REPEATED_OPTION,
  alias: "H",
  describe: "A header of the request, name:value; may be repeated",
} as const;

/** `-f`, of the verbs that judge. */
export const FILES_OPTION = {
  ...REPEATED_OPTION,
  alias: "f",
  describe: "Policies to add or replace before judging; may be repeated",
} as const;

/** `--node` is what people say; `--hostname-override` is what kube-proxy calls it. */
export function withNode(flags: readonly string[], node: string | undefined): readonly string[] {
  return node === undefined ? flags : [...flags, `--hostname-override=${node}`];
}

// Agents that somebody else has started: `--agents FILE`, for clusters whose pods are no
// containers (network namespaces on one machine). Their Pods must exist; readiness is written
// into Pod status, as no kubelet does it.

import { parse } from "yaml";

import { parseAddress } from "../../lib/ip/address.ts";
import { type Agent, type AgentPlace, agentPorts } from "../agent-identity.ts";
import { ConformanceError } from "../conformance-error.ts";

export interface FileAgent extends Agent {
  /** Path of its Unix socket. */
  readonly control: string;
}

export interface AgentsFile {
  /** Where the Pods of its agents are, and where Services will be. */
  readonly namespace: string;
  readonly agents: readonly FileAgent[];
}

/**
 * Reads the file, JSON or YAML:
 * `{namespace, agents: [{name, place, node, addresses, control}]}`; `place` is pod, host or
 * outside, `control` the path of the agent's socket.
 * @param path only for messages
 * @throws ConformanceError `usage` naming what is wrong
 */
export function parseAgentsFile(path: string, text: string): AgentsFile {
  const refuse = (why: string): never => {
    throw new ConformanceError("usage", `Cannot use --agents "${path}": ${why}`);
  };
  const file = recordOf(parseYaml(text));
  const namespace = file?.["namespace"];
  const list: unknown = file?.["agents"];
  if (typeof namespace !== "string" || !Array.isArray(list)) {
    return refuse('it needs "namespace" and a list "agents"');
  }
  const agents = list.map((value: unknown, index) => parseAgent(value, index, refuse));
  const names = new Set(agents.map((agent) => agent.name));
  if (names.size < agents.length) return refuse("two agents have the same name");
  if (!agents.some((agent) => agent.place === "pod")) return refuse("no agent is in a pod");
  return { namespace, agents };
}

function parseAgent(value: unknown, index: number, refuse: (why: string) => never): FileAgent {
  const agent = recordOf(value) ?? {};
  const { name, control, node = name } = agent;
  const place = parsePlace(agent["place"] ?? "pod");
  const list: unknown = agent["addresses"];
  const addresses = Array.isArray(list) ? list.map((address) => parseAddress(address)) : [];
  const known = addresses.filter((address) => address !== undefined);
  if (typeof name !== "string" || typeof node !== "string" || typeof control !== "string") {
    return refuse(`agents[${index}] needs the texts "name", "node" and "control"`);
  }
  if (place === undefined) return refuse(`agent "${name}" is in no place: pod, host or outside`);
  if (known.length === 0 || known.length < addresses.length) {
    return refuse(`agent "${name}" needs "addresses", each an IP address`);
  }
  return { name, place, node, addresses: known, ports: agentPorts[place], control };
}

function parsePlace(value: unknown): AgentPlace | undefined {
  return value === "pod" || value === "host" || value === "outside" ? value : undefined;
}

function parseYaml(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? { ...value } : undefined;
}

// What `can` answers: each client against each server, and what comes of all of them.

import { familyOf } from "../../lib/ip/address.ts";
import { answerCan, type CanAnswer, type CanEnd } from "../../netpol-identity/evaluate/can.ts";
import type { RequestFacts } from "../../netpol-identity/model/request-facts.ts";
import { WrongUse } from "../exit.ts";
import type { NamedServer, Protocol } from "./can-names.ts";
import type { CanWorld, Party } from "./can-world.ts";

export interface CanReport {
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  /** e.g. `GET /charge` */
  readonly request?: string;
  /**
   * allow: every client reaches some server. open: a request has to tell. deny: somebody reaches
   * none.
   */
  readonly verdict: CanAnswer["verdict"];
  /** False where nodes with these flags prove no identities at all. */
  readonly hasIdentities: boolean;
  /** Ways that are allowed, and all that there are. */
  readonly allowed: number;
  readonly ways: readonly CanWay[];
}

export interface CanWay extends CanAnswer {
  readonly from: WayEnd;
  readonly to: WayEnd & { readonly port: number };
}

export interface WayEnd {
  /** `namespace/pod`, `node NAME`, or the address. */
  readonly name: string;
  readonly address: string;
  readonly identity?: string;
}

export interface CanRequest {
  readonly text: string;
  readonly facts: RequestFacts;
}

export interface CanWords {
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly request: CanRequest | undefined;
}

/** @throws WrongUse when no client and server have addresses of one family */
export function reportCan(
  world: CanWorld,
  { from, to, protocol, request }: CanWords,
  parties: { readonly clients: readonly Party[]; readonly servers: readonly NamedServer[] },
): CanReport {
  const ways = parties.clients.map((client) =>
    parties.servers
      .filter(({ party }) => familyOf(party.address) === familyOf(client.address))
      .map((server) => wayOf(world, client, server, { protocol, request })),
  );
  const met = ways.filter((list) => list.length > 0);
  if (met.length === 0) throw new WrongUse(`Cannot judge: ${from} and ${to} share no IP family`);
  const all = met.flat();
  const verdicts = met.map((list) => bestOf(list.map(({ verdict }) => verdict)));
  return {
    from,
    to,
    protocol,
    ...(request !== undefined && { request: request.text }),
    verdict: worstOf(verdicts),
    hasIdentities: world.snapshot.identities !== undefined,
    allowed: all.filter(({ verdict }) => verdict === "allow").length,
    ways: all,
  };
}

function wayOf(
  world: CanWorld,
  from: Party,
  { party, port, isProxied }: NamedServer,
  { protocol, request }: Pick<CanWords, "protocol" | "request">,
): CanWay {
  const { client, server } = world.meet(from, party);
  const answer = answerCan(world.index, {
    client,
    server,
    protocol,
    port,
    isProxied,
    ...(request !== undefined && { request: request.facts }),
  });
  return { from: faceOf(client), to: { ...faceOf(server), port }, ...answer };
}

function faceOf({ address, pod, node, identity }: CanEnd): WayEnd {
  const name = pod === undefined ? (node === undefined ? address : `node ${node}`) : nameOf(pod);
  return { name, address, ...(identity !== undefined && { identity }) };
}

function nameOf({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${namespace}/${name}`;
}

const ORDER = ["allow", "open", "deny"] as const;

function bestOf(verdicts: readonly CanAnswer["verdict"][]): CanAnswer["verdict"] {
  return ORDER.find((one) => verdicts.includes(one)) ?? "deny";
}

function worstOf(verdicts: readonly CanAnswer["verdict"][]): CanAnswer["verdict"] {
  return ORDER.findLast((one) => verdicts.includes(one)) ?? "deny";
}

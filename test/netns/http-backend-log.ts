// What the backends of one process have seen, and how each request is to be treated.

import { createHash, type Hash } from "node:crypto";
import { type Behaviour, parseBehaviour } from "./http-backend-behaviour.ts";
import type { FieldPairs, SeenRequest } from "./http-backend-protocol.ts";

/** One request while it is read. */
export interface ArrivingRequest {
  readonly behaviour: Behaviour;
  readonly expectsContinue: boolean;
  readonly hash: Hash;
  bodyBytes: number;
  /** As it is now; called again at the end of the body. */
  seen(trailers: FieldPairs): SeenRequest;
}

/** Requests by case. */
export class BackendLog {
  readonly #cases = new Map<string, SeenRequest[]>();

  of(id: string): readonly SeenRequest[] {
    return this.#cases.get(id) ?? [];
  }

  /** Remembers a request from its head on, and says how to answer. */
  arrive(head: Omit<SeenRequest, "bodyBytes" | "bodyHash" | "trailers">): ArrivingRequest {
    const id = valueOf(head.fields, "x-case");
    const requests = this.#cases.get(id) ?? [];
    if (id !== "") this.#cases.set(id, requests);
    const place = requests.push({ ...head, bodyBytes: 0, bodyHash: "", trailers: [] }) - 1;
    const asked = parseBehaviour(valueOf(head.fields, "x-behave"));
    const isMeant = asked.pods.length === 0 || asked.pods.includes(head.pod);
    const behaviour = isMeant && place < asked.first ? asked : parseBehaviour("");
    const hash = createHash("sha256");
    return {
      behaviour,
      expectsContinue: valueOf(head.fields, "expect") === "100-continue",
      hash,
      bodyBytes: 0,
      seen(trailers): SeenRequest {
        const bodyHash = hash.copy().digest("hex");
        const seen = { ...head, bodyBytes: this.bodyBytes, bodyHash, trailers };
        requests[place] = seen;
        return seen;
      },
    };
  }
}

/** The values of a field, joined as one; empty without it. */
export function valueOf(fields: FieldPairs, name: string): string {
  return fields
    .filter(([key]) => key === name)
    .map(([, value]) => value)
    .join(", ");
}

/** Node's flat list of names and values in turn. */
export function pairsOf(raw: readonly string[]): FieldPairs {
  return Array.from({ length: raw.length >> 1 }, (_, i) => [
    (raw[2 * i] ?? "").toLowerCase(),
    raw[2 * i + 1] ?? "",
  ]);
}

/** Dual-stack sockets show IPv4 peers as mapped IPv6. */
export function unmapped(address = ""): string {
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}

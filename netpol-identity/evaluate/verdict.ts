// What the evaluator is asked and answers.

import type { RequestFacts } from "../model/request-facts.ts";

/** One side's view of a connection: whom it is with, about what. */
export interface Flow {
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP";
  /** Of whoever is called; 0 for ICMP. */
  readonly port: number;
  /** Of the other end: the client's for ingress, the server's for egress. Canonical. */
  readonly address: string;
  /**
   * Of the other end: a SPIFFE URI, or null: it has none. "unproven": whoever asks can prove none,
   * such as the kernel, and wants to know what to do without. For egress it is that of the enrolled
   * pod with the address.
   */
  readonly identity: string | null;
  /** Undefined: not read yet, so rules about requests are left open. */
  readonly request?: RequestFacts;
  /** The pod calls itself, through a Service. */
  readonly isSelf?: true;
}

export type Verdict =
  | { readonly kind: "allow"; readonly rule: string }
  | { readonly kind: "deny"; readonly rule: string }
  /** A certificate or a request has to tell. */
  | { readonly kind: "open"; readonly needs: "identity" | "request"; readonly rule: string };

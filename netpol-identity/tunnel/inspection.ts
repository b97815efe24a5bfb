// What tunnels ask of whoever can read HTTP: to stand between a client and a pod of this node, and
// to let pass only requests that are allowed.

import type { ByteStream, StreamOwner, StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { Verdict } from "../evaluate/verdict.ts";
import type { RequestFacts } from "../model/request-facts.ts";

/** Whatever is not allowed is refused. */
export type JudgeRequest = (facts: RequestFacts) => Verdict;

export interface Inspection {
  /** The client's end; open. */
  readonly down: ByteStream;
  /** To the pod; open, and nothing was sent on it. */
  readonly up: ByteStream;
  /** Another connection to the pod, as the same client; as `Dialer.dial`. */
  dial(owner: StreamOwner): ByteStream | string;
  readonly client: SocketAddress;
  /** The pod and its port. */
  readonly target: SocketAddress;
  /** Who is at both ends; undefined where nothing proves it. */
  readonly proof: StreamProof | undefined;
  readonly judge: JudgeRequest;
  /** Called once, when the client's end is gone. */
  readonly onOver: () => void;
}

/** Owns both ends of its connection. */
export interface Inspected {
  /** Other rules hold from here on; requests under way that they deny are broken off. */
  rejudge(judge: JudgeRequest): void;
  /** Ends now. */
  abort(): void;
}

export type Inspect = (inspection: Inspection) => Inspected;

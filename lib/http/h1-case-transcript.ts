// Writes down what a parser tells of bytes, as tests compare it. The bytes come as on the data
// path: in pieces, each in one shared buffer that is overwritten as soon as it has been fed.

import type { AskedBy } from "./h1-framing.ts";
import type { H1Problem, H1RequestHead, H1ResponseHead } from "./h1-head.ts";
import { DEFAULT_H1_LIMITS, type H1Limits } from "./h1-limits.ts";
import { H1Parser, type H1Role } from "./h1-parser.ts";
import type { FieldLines } from "./message.ts";

export interface MessageSeen<Head> {
  readonly head: Head;
  /** As latin1. */
  readonly body: string;
  /** Undefined while the message has not ended. */
  readonly trailers: FieldLines | undefined;
}

export interface Transcript<Head> {
  /** Interim responses too. */
  readonly messages: readonly MessageSeen<Head>[];
  readonly problem: H1Problem | undefined;
  /** How many bytes of each piece were consumed. */
  readonly consumed: readonly number[];
  readonly state: string;
}

export interface TranscriptOptions {
  readonly limits?: Partial<H1Limits>;
  /** What the responses answer, in order. */
  readonly asked?: readonly AskedBy[];
  /** The peer closes behind the last piece. */
  readonly closes?: boolean;
}

/** Feeds the pieces (latin1) and tells what came out. */
export function transcribe<Head extends H1RequestHead | H1ResponseHead>(
  role: H1Role<Head>,
  pieces: readonly string[],
  { limits = {}, asked = [], closes = false }: TranscriptOptions = {},
): Transcript<Head> {
  const messages: { head: Head; body: string; trailers: FieldLines | undefined }[] = [];
  const toAsk = [...asked];
  const ask = (): void => {
    const next = toAsk.shift();
    if (next !== undefined) parser.expectResponseTo(next);
  };
  const handler = {
    onHead: (head: Head): void => {
      messages.push({ head, body: "", trailers: undefined });
    },
    onBody: (bytes: Buffer, start: number, end: number): void => {
      const message = messages.at(-1);
      if (message !== undefined) message.body += bytes.toString("latin1", start, end);
    },
    onEnd: (trailers: FieldLines): void => {
      const message = messages.at(-1);
      if (message !== undefined) message.trailers = trailers;
      ask();
    },
  };
  const parser = new H1Parser(role, handler, { ...DEFAULT_H1_LIMITS, ...limits });
  ask();
  const shared = Buffer.alloc(3 + Math.max(0, ...pieces.map((piece) => piece.length)));
  const consumed = pieces.map((piece) => {
    shared.fill(0xff);
    const end = 3 + shared.write(piece, 3, "latin1");
    return parser.feed(shared, 3, end);
  });
  shared.fill(0xff);
  if (closes && parser.problem === undefined) parser.eof();
  return { messages, problem: parser.problem, consumed, state: parser.state };
}

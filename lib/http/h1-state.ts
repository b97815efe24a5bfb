// The lifecycle of one direction of an HTTP/1.1 connection, for requests and responses alike: every
// transition lives here, the parser only says what it has read.
//
//   idle ─▶ head ─▶ length ───────────────────────────────▶ idle, or closed
//                └▶ chunk-line ─▶ chunk-data ─▶ chunk-end ─▶ chunk-line
//                            └──▶ trailers ───────────────▶ idle, or closed
//                └▶ until-close, tunnel ──────────────────▶ closed, when the peer closes
//                └▶ switching ─▶ tunnel, idle or closed, when the owner has decided

/**
 * - `idle`: between messages. `head`: some of one has come.
 * - `switching`: a CONNECT or an upgrade has been read. What its bytes mean depends on the answer.
 * - `closed`: what else comes has no meaning and is passed over.
 * - `refused`: after a violation; nothing is read any more.
 */
export type H1State =
  | "idle"
  | "head"
  | "length"
  | "chunk-line"
  | "chunk-data"
  | "chunk-end"
  | "trailers"
  | "until-close"
  | "tunnel"
  | "switching"
  | "closed"
  | "refused";

/** `done` and `last`: a message ended, and another may or may not follow. */
export type H1Event =
  | "part"
  | "interim"
  | "length"
  | "chunked"
  | "until-close"
  | "tunnel"
  | "chunk"
  | "chunk-data"
  | "chunk-end"
  | "last-chunk"
  | "ask-switch"
  | "done"
  | "last"
  | "eof"
  | "violation";

type Transitions = Readonly<Partial<Record<H1Event, H1State>>>;

const ENDS: Transitions = { done: "idle", last: "closed" };
const HEAD_READ: Transitions = {
  ...ENDS,
  interim: "idle",
  length: "length",
  chunked: "chunk-line",
  "until-close": "until-close",
  tunnel: "tunnel",
  "ask-switch": "switching",
};
const BROKEN: Transitions = { violation: "refused" };
/** The peer must not close here: what came would pass for a whole message. */
const INSIDE: Transitions = { ...BROKEN, eof: "refused" };

export const TRANSITIONS: Readonly<Record<H1State, Transitions>> = {
  idle: { ...HEAD_READ, ...BROKEN, part: "head", eof: "closed" },
  head: { ...HEAD_READ, ...INSIDE, part: "head" },
  length: { ...ENDS, ...INSIDE },
  "chunk-line": { ...INSIDE, chunk: "chunk-data", "last-chunk": "trailers" },
  "chunk-data": { ...INSIDE, "chunk-data": "chunk-end" },
  "chunk-end": { ...INSIDE, "chunk-end": "chunk-line" },
  trailers: { ...ENDS, ...INSIDE },
  "until-close": { eof: "closed" },
  tunnel: { eof: "closed" },
  switching: { ...ENDS, tunnel: "tunnel", eof: "closed" },
  closed: { eof: "closed" },
  refused: { eof: "refused" },
};

/** Undefined means a bug of the parser or its owner: no input leads there. */
export function nextState(state: H1State, event: H1Event): H1State | undefined {
  return TRANSITIONS[state][event];
}

// The life of a request on its way to endpoints, as a table: every transition stands here, the
// request only says what happened.
//
//   new ─▶ connecting ─▶ sent ─▶ answered ─▶ over
//              ▲           │  └▶ tunnel ───▶ over
//              └─ backoff ◀┘
//
// From everywhere it may be over at once.

/**
 * - `connecting`: an endpoint is chosen, a connection is waited for.
 * - `sent`: the head was sent; the body may still be on its way. Nothing final has been answered.
 * - `backoff`: to be tried again, at once or in a while.
 * - `answered`: the final head was told: what fails from here on breaks off.
 */
export type ForwardingState =
  | "new"
  | "connecting"
  | "sent"
  | "backoff"
  | "answered"
  | "tunnel"
  | "over";

export type ForwardingEvent = "dial" | "send" | "retry" | "answer" | "switch" | "end";

type Transitions = Readonly<Partial<Record<ForwardingEvent, ForwardingState>>>;

const ENDS: Transitions = { end: "over" };

const TRANSITIONS: Readonly<Record<ForwardingState, Transitions>> = {
  new: { ...ENDS, dial: "connecting" },
  connecting: { ...ENDS, send: "sent", retry: "backoff" },
  sent: { ...ENDS, retry: "backoff", answer: "answered", switch: "tunnel" },
  backoff: { ...ENDS, dial: "connecting" },
  answered: ENDS,
  tunnel: ENDS,
  over: {},
};

/** Undefined means a bug. */
export function nextForwardingState(
  state: ForwardingState,
  event: ForwardingEvent,
): ForwardingState | undefined {
  return TRANSITIONS[state][event];
}

// The life of one request in the proxy, as a table: every transition stands here, the exchange only
// says what happened.
//
//   routing ─▶ connecting ─▶ sent ─▶ responding ─▶ over
//                  ▲           │  └▶ tunnel ─────▶ over
//                  └─ backoff ◀┘
//
// From everywhere it may be over at once: answered by the proxy itself, or broken off.

/**
 * - `connecting`: an endpoint is chosen, a connection is waited for.
 * - `sent`: the head was sent; the body may still be on its way. Nothing final has been answered.
 * - `backoff`: to be tried again, in a while.
 * - `responding`: a final head went to the client: what fails now breaks off.
 */
export type ExchangeState =
  | "routing"
  | "connecting"
  | "sent"
  | "backoff"
  | "responding"
  | "tunnel"
  | "over";

export type ExchangeEvent = "dial" | "send" | "retry" | "respond" | "switch" | "end";

type Transitions = Readonly<Partial<Record<ExchangeEvent, ExchangeState>>>;

const ENDS: Transitions = { end: "over" };

export const TRANSITIONS: Readonly<Record<ExchangeState, Transitions>> = {
  routing: { ...ENDS, dial: "connecting" },
  connecting: { ...ENDS, send: "sent", retry: "backoff" },
  sent: { ...ENDS, retry: "backoff", respond: "responding", switch: "tunnel" },
  backoff: { ...ENDS, dial: "connecting" },
  responding: ENDS,
  tunnel: ENDS,
  over: {},
};

/** Undefined means a bug. */
export function nextExchangeState(
  state: ExchangeState,
  event: ExchangeEvent,
): ExchangeState | undefined {
  return TRANSITIONS[state][event];
}

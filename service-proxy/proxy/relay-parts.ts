// What every relay of a worker uses.

import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import type { RequestRecord } from "../model/request-record.ts";
import type { AccessLog } from "./access-log.ts";
import type { RequestTaps } from "./access-log-tap.ts";
import type { Deadlines } from "./deadlines.ts";
import type { EdgeTable } from "./edge-table.ts";
import type { ProxyTables } from "./proxy-tables.ts";

export interface RelayParts {
  readonly reactor: Reactor;
  readonly dialer: Dialer;
  readonly tables: ProxyTables;
  readonly deadlines: Deadlines;
  /** In [0, 1). */
  readonly random: () => number;
  /** Connections of the L4 lane. */
  readonly connections: EdgeTable;
  /** Requests of the L7 lane. */
  readonly requests: EdgeTable;
  readonly accessLog: AccessLog;
  readonly taps: RequestTaps;
  /** Hears of each connection and request that policies denied, whatever share is logged. */
  readonly onDenied: (record: RequestRecord) => void;
  /** Wall clock, in milliseconds. */
  readonly wallMs: () => number;
}

/** What carrying bytes takes. */
export type StreamParts = Pick<
  RelayParts,
  | "reactor"
  | "dialer"
  | "tables"
  | "deadlines"
  | "random"
  | "connections"
  | "accessLog"
  | "onDenied"
  | "wallMs"
>;

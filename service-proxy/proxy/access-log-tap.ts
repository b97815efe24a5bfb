// The worker's end of `innermesh tap`: shows requests that match to those who watch. With nobody
// watching it costs one comparison a request.

import type { FieldLines } from "../../lib/http/message.ts";
import { matchesTap, type TapFilter, type TappedRequest } from "../model/admin-protocol.ts";
import type { RequestRecord } from "../model/request-record.ts";
import { clean, redactHeaders } from "./access-log-record.ts";

/** To one watcher, from one worker. */
const MOST_PER_SECOND = 100;

interface Tap {
  readonly filter: TapFilter;
  second: number;
  told: number;
  lost: number;
}

export class RequestTaps {
  readonly #send: (id: number, tapped: TappedRequest) => void;
  readonly #taps = new Map<number, Tap>();

  constructor(send: (id: number, tapped: TappedRequest) => void) {
    this.#send = send;
  }

  /** False when nobody watches: no record need be made. */
  get active(): boolean {
    return this.#taps.size > 0;
  }

  open(id: number, filter: TapFilter): void {
    this.#taps.set(id, { filter, second: 0, told: 0, lost: 0 });
  }

  close(id: number): void {
    this.#taps.delete(id);
  }

  /** @param headers as received from the client */
  offer(record: RequestRecord, headers: FieldLines, nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    for (const [id, tap] of this.#taps) {
      if (!matchesTap(tap.filter, record)) continue;
      if (tap.second !== second) {
        tap.second = second;
        tap.told = 0;
      }
      if (tap.told >= MOST_PER_SECOND) {
        tap.lost++;
        continue;
      }
      tap.told++;
      this.#send(id, { record: clean(record), headers: redactHeaders(headers), lost: tap.lost });
      tap.lost = 0;
    }
  }
}

// Peak EWMA: a latency estimate that jumps to a peak at once and forgets it with time, so that a
// slow endpoint is left quickly and tried again later. Weighted by time, not by samples: a busy
// endpoint does not forget faster than an idle one.

/** After so long without news, an estimate has fallen to 37 %. */
const DECAY_MS = 10_000;
/** Below a timer's noise; keeps costs above zero, where pending requests would not count. */
const LEAST_MS = 0.05;
/** A stream that lived for hours says nothing about latency. */
const MOST_MS = 60_000;

/** The latency that is to be expected of one endpoint, in milliseconds. */
export class PeakEwma {
  #estimateMs: number;
  #atMs: number;
  #measured = false;

  /** @param guessMs stands until the first measurement replaces it */
  constructor(guessMs: number, nowMs: number) {
    this.#estimateMs = guessMs;
    this.#atMs = nowMs;
  }

  /** False while the estimate is a guess. */
  get measured(): boolean {
    return this.#measured;
  }

  /** NaN and negative latencies are ignored: one NaN would poison the estimate for ever. */
  observe(latencyMs: number, nowMs: number): void {
    if (!(latencyMs >= 0)) return;
    const latency = Math.min(latencyMs, MOST_MS);
    const weight = this.#weight(nowMs);
    const decayed = this.#estimateMs * weight;
    this.#estimateMs =
      latency > decayed || !this.#measured ? latency : decayed + latency * (1 - weight);
    this.#measured = true;
    this.#atMs = Math.max(this.#atMs, nowMs);
  }

  /** Always finite and above zero. */
  readMs(nowMs: number): number {
    return Math.max(LEAST_MS, this.#estimateMs * this.#weight(nowMs));
  }

  /** Never above 1, also when the clock of an observation was behind. */
  #weight(nowMs: number): number {
    const elapsedMs = nowMs - this.#atMs;
    return elapsedMs > 0 ? Math.exp(-elapsedMs / DECAY_MS) : 1;
  }
}

// One clock for all processes of a bench: CLOCK_MONOTONIC, the same everywhere on the machine.

/** Milliseconds since an arbitrary start that all processes share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

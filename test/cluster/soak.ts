// How long a fault lasts: as long as its description says under `make soak`, shorter else.

/** Whether faults last their full time. */
export const SOAK = process.env["INNERMESH_SOAK"] === "1";

/** @returns `fullMs` under `make soak`, else `shortMs` */
export function lasting(shortMs: number, fullMs: number): number {
  return SOAK ? fullMs : shortMs;
}

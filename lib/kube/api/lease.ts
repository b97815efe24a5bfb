// coordination.k8s.io/v1 Lease as leader election reads and writes it. Total: a lease that someone
// has filled with nonsense counts as held by nobody.

import { asRecord, asText, type JsonRecord } from "./fields.ts";

export interface Lease {
  /** "" when nobody holds it. */
  readonly holder: string;
  /** How long the holder may be silent; undefined when the lease does not say. */
  readonly durationSeconds: number | undefined;
  readonly acquireTime: string;
  readonly transitions: number;
  /** Changes with every renewal. Only ever compared: other machines' clocks are not read. */
  readonly renewal: string;
  /** The whole object, with what others keep in it. */
  readonly object: JsonRecord;
}

/** Reads a Lease. Never throws. */
export function parseLease(value: unknown): Lease {
  const object = asRecord(value);
  const spec = asRecord(object["spec"]);
  const holder = asText(spec["holderIdentity"]);
  const acquireTime = asText(spec["acquireTime"]);
  const transitions = asCount(spec["leaseTransitions"]) ?? 0;
  const durationSeconds = asCount(spec["leaseDurationSeconds"]);
  const renewal = JSON.stringify([holder, spec["renewTime"], acquireTime, transitions]);
  return { holder, durationSeconds, acquireTime, transitions, renewal, object };
}

/** A moment as `meta/v1 MicroTime`. */
export function formatMicroTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace("Z", "000Z");
}

function asCount(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;
}

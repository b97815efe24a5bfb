// Whether a pod proves who it is, and what decided: the words of labels and settings.

import type { IdentityMode } from "./tunnel-plan.ts";

/** On a Namespace, a ServiceAccount or a Service. */
export const IDENTITY_LABEL = "innermesh.io/identity";

/** Of the authority: nodes have to reach it before they can prove anything. */
export const MESH_NAMESPACE = "innermesh-system";

export type EnrolmentMode = "off" | IdentityMode;

export interface Enrolment {
  readonly mode: EnrolmentMode;
  /** What decided, as a sentence without its full stop. */
  readonly rule: string;
}

/** From the least that is asked of a connection to the most. */
const STRICTNESS: Readonly<Record<EnrolmentMode, number>> = { off: 0, permissive: 1, strict: 2 };

/** A mode as labels and settings write it; undefined for any other word. */
export function parseEnrolmentMode(value: string): EnrolmentMode | undefined {
  return value === "off" || value === "permissive" || value === "strict" ? value : undefined;
}

/** The one that asks more; the first of two that ask the same. */
export function stricter(a: Enrolment, b: Enrolment): Enrolment {
  return STRICTNESS[b.mode] > STRICTNESS[a.mode] ? b : a;
}

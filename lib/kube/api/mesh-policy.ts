// innermesh.io/v1alpha1 MeshPolicy: what holds in the whole mesh where no policy speaks, and for
// whom it does not. Of the cluster, so no tenant can relax it; only the one named `default` counts.

import { readHead } from "./head.ts";
import { EVERYTHING, type LabelSelector, readLabelSelector } from "./label-selector.ts";
import type { Parsed } from "./parsed.ts";
import {
  type Faults,
  makeFaults,
  type PolicyIdentity,
  readItems,
  readKnown,
  readNames,
  readPolicyIdentity,
  readSomeItems,
  readWord,
} from "./policy-fields.ts";

export interface MeshPolicy extends PolicyIdentity {
  readonly kind: "MeshPolicy";
  readonly default: MeshPolicyDefault;
  /** Pods for which the default is Open. */
  readonly exceptions: readonly MeshPolicyException[];
}

const DEFAULTS = ["Open", "IdentityRequired", "Deny"] as const;
/** IdentityRequired: what proves who it is may pass. */
export type MeshPolicyDefault = (typeof DEFAULTS)[number];

export interface MeshPolicyException {
  readonly namespaces: readonly string[] | LabelSelector;
  readonly podSelector: LabelSelector;
}

/** The name of the one that counts. */
export const MESH_POLICY = "default";
const MAX_EXCEPTIONS = 256;

/**
 * Reads a MeshPolicy. Never throws. A default that cannot be read is Deny; an exception with a
 * fault excepts nobody.
 */
export function parseMeshPolicy(value: unknown): Parsed<MeshPolicy> {
  const head = readHead("MeshPolicy", "cluster", value);
  if (head.kind === "invalid") return head;
  const { name, spec, problems } = head;
  if (name !== MESH_POLICY) {
    problems.add("metadata.name", `want ${MESH_POLICY}: others are not read`);
  }
  const faults = makeFaults(problems);
  readKnown(spec, "spec", ["default", "exceptions"], faults);
  const said = readWord(spec["default"], "spec.default", DEFAULTS, faults);
  const at = "spec.exceptions";
  const items = readItems(spec["exceptions"], at, MAX_EXCEPTIONS, faults);
  const object: MeshPolicy = {
    kind: "MeshPolicy",
    ...readPolicyIdentity(head),
    default: said ?? "Deny",
    exceptions: items.flatMap((item, i) => {
      const own = makeFaults(problems);
      const exception = readException(item, `${at}[${i}]`, own);
      return own.any || exception === undefined ? [] : [exception];
    }),
  };
  return { kind: "ok", object, problems: problems.take() };
}

function readException(
  value: unknown,
  field: string,
  faults: Faults,
): MeshPolicyException | undefined {
  const names = ["namespaces", "namespaceSelector", "podSelector"];
  const fields = readKnown(value, field, names, faults);
  const at = `${field}.namespaces`;
  const listed = readSomeItems(fields["namespaces"], at, MAX_EXCEPTIONS, faults);
  const selector = fields["namespaceSelector"] ?? undefined;
  if ((listed === undefined) === (selector === undefined)) {
    return faults.reject(field, "want namespaces or namespaceSelector, and not both");
  }
  const namespaces =
    listed === undefined
      ? readLabelSelector(selector, `${field}.namespaceSelector`, faults)
      : readNames(listed, at, faults);
  const pods = fields["podSelector"] ?? undefined;
  const podSelector =
    pods === undefined ? EVERYTHING : readLabelSelector(pods, `${field}.podSelector`, faults);
  if (namespaces === undefined || podSelector === undefined) return undefined;
  return { namespaces, podSelector };
}

// GEP-3779's AuthorizationPolicies and ServiceAccountPolicies of one file, each as the other.

import { readFileSync } from "node:fs";
import { parseAllDocuments, stringify } from "yaml";
import { asRecord, asText } from "../../lib/kube/api/fields.ts";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import {
  type Conversion,
  fromAuthorizationPolicy,
  toAuthorizationPolicy,
} from "../../netpol-identity/evaluate/authorization-policy.ts";
import { WrongUse } from "../exit.ts";

export interface ConvertedPolicies {
  /** YAML, a document each. */
  readonly text: string;
  /** What the result does not say. */
  readonly unsaid: readonly Problem[];
}

/** @throws WrongUse when the file cannot be read, or holds something else */
export function convertPolicies(path: string): ConvertedPolicies {
  const conversions = readObjects(path).map((value) => convert(value, path));
  const objects = conversions.flatMap(({ object }) => (object === undefined ? [] : [object]));
  return {
    text: objects.map((object) => stringify(object)).join("---\n"),
    unsaid: conversions.flatMap(({ unsaid }) => unsaid),
  };
}

function convert(value: unknown, path: string): Conversion {
  const kind = asText(asRecord(value)["kind"]);
  if (kind === "AuthorizationPolicy") return fromAuthorizationPolicy(value);
  if (kind !== "ServiceAccountPolicy") {
    const want = "want AuthorizationPolicy or ServiceAccountPolicy";
    throw new WrongUse(`Cannot convert "${kind}" of ${path}: ${want}`);
  }
  const parsed = parseServiceAccountPolicy(value);
  if (parsed.kind !== "ok") {
    return { object: undefined, unsaid: parsed.kind === "invalid" ? parsed.problems : [] };
  }
  const { object, unsaid } = toAuthorizationPolicy(parsed.object);
  return { object, unsaid: [...parsed.problems, ...unsaid] };
}

function readObjects(path: string): readonly unknown[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new WrongUse(`Cannot read ${path}: ${String(error)}`);
  }
  const documents = parseAllDocuments(text);
  const [error] = [...documents].flatMap(({ errors }) => errors);
  if (error !== undefined) throw new WrongUse(`Cannot read ${path}: ${error.message}`);
  return [...documents].map((document): unknown => document.toJS()).filter((one) => one !== null);
}

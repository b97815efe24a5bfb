// What nodes read of the CA, in one ConfigMap: the roots of each trust domain under a key of its
// own, never merged, and the nodes that are banned. Pure.

import { isDeepStrictEqual } from "node:util";
import { asRecord, asText, type JsonRecord, textRecord } from "../../lib/kube/api/fields.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import { BANS_KEY, rootsKey } from "../model/trust.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";
import type { PublishedBundle } from "./rotation-recovery.ts";

/** Of the state that the CA's own roots come from. */
const VERSION_KEY = "version";

export interface BundleContent extends PublishedBundle {
  readonly trustDomain: string;
  readonly bans: readonly NodeBan[];
}

/**
 * The ConfigMap's new form; undefined when it says all this already, or something newer. Keys of
 * other trust domains stay.
 * @param before as read; undefined: it does not exist
 */
export function nextBundle(
  before: JsonRecord | undefined,
  { trustDomain, version, roots, bans }: BundleContent,
  place: { readonly namespace: string; readonly name: string },
): JsonRecord | undefined {
  const old = textRecord(before?.["data"]);
  if (versionOf(before) > version) return undefined;
  const data = {
    ...old,
    [rootsKey(trustDomain)]: roots.join(""),
    [VERSION_KEY]: String(version),
    [BANS_KEY]: JSON.stringify(bans),
  };
  if (isDeepStrictEqual(data, { ...old })) return undefined;
  const metadata = before === undefined ? place : asRecord(before["metadata"]);
  return { apiVersion: "v1", kind: "ConfigMap", metadata, data };
}

/**
 * The published version, which counts for all trust domains, with the roots of one of them, maybe
 * none; undefined when nothing was published. Never throws.
 */
export function parsePublished(
  configMap: JsonRecord | undefined,
  trustDomain: string,
): PublishedBundle | undefined {
  const text = asText(asRecord(configMap?.["data"])[rootsKey(trustDomain)]);
  const roots = decodePem(text).map(encodePem);
  const version = versionOf(configMap);
  return roots.length === 0 && version === 0 ? undefined : { version, roots };
}

/** 0 when it has none. */
function versionOf(configMap: JsonRecord | undefined): number {
  const version = Number(asText(asRecord(configMap?.["data"])[VERSION_KEY]));
  return Number.isSafeInteger(version) && version > 0 ? version : 0;
}

// Which objects a node's proxy is for: one answer for every source, as an API server's selectors
// and as functions of one object's labels.

import { asRecord } from "../api/fields.ts";

/** Present on a Service: some other proxy serves it, the one named by the value. */
export const SERVICE_PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
/** Present on slices of headless Services, whatever the value. */
export const HEADLESS_LABEL = "service.kubernetes.io/headless";

/** @param proxyName serve only Services labelled with this name; undefined: only unlabelled ones */
export function serviceSelector(proxyName: string | undefined): string {
  return proxyName === undefined
    ? `!${SERVICE_PROXY_NAME_LABEL}`
    : `${SERVICE_PROXY_NAME_LABEL}=${proxyName}`;
}

/** The same choice as `serviceSelector`, for an object at hand. */
export function selectsService(value: unknown, proxyName: string | undefined): boolean {
  return labelsOf(value)[SERVICE_PROXY_NAME_LABEL] === proxyName;
}

export const SLICE_SELECTOR = `!${HEADLESS_LABEL}`;

/** The same choice as `SLICE_SELECTOR`, for an object at hand. */
export function selectsSlice(value: unknown): boolean {
  return labelsOf(value)[HEADLESS_LABEL] === undefined;
}

function labelsOf(value: unknown): Readonly<Record<string, unknown>> {
  return asRecord(asRecord(asRecord(value)["metadata"])["labels"]);
}

// The URI part of name constraints (RFC 5280, section 4.2.1.10): which trust domains an authority
// may speak for. Constraints on other kinds of names do not touch an identity and are passed over.

import { contextTag, type DerElement, encodeDer, encodeSequence, TAG } from "./der.ts";

const PERMITTED = contextTag(0, "constructed");
const EXCLUDED = contextTag(1, "constructed");
const URI = contextTag(6, "primitive");

export interface NameConstraints {
  /** Hosts, or suffixes that begin with a dot; undefined when every host is permitted. */
  readonly permittedHosts: readonly string[] | undefined;
  readonly excludedHosts: readonly string[];
}

/** Content of the extension that permits the identities of one trust domain. */
export function encodeNameConstraints(trustDomain: string): Buffer {
  const subtree = encodeSequence(encodeDer(URI, Buffer.from(trustDomain)));
  return encodeSequence(encodeDer(PERMITTED, subtree));
}

/** Undefined for another form, and for `minimum` or `maximum`, which RFC 5280 does not allow. */
export function decodeNameConstraints(element: DerElement): NameConstraints | undefined {
  if (element.tag !== TAG.sequence || element.children.length === 0) return undefined;
  const permitted: string[] = [];
  const excluded: string[] = [];
  for (const subtrees of element.children) {
    if (subtrees.tag !== PERMITTED && subtrees.tag !== EXCLUDED) return undefined;
    for (const { tag, children } of subtrees.children) {
      const [base, ...bounds] = children;
      if (tag !== TAG.sequence || base === undefined || bounds.length > 0) return undefined;
      if (base.tag !== URI) continue;
      const hosts = subtrees.tag === PERMITTED ? permitted : excluded;
      hosts.push(base.content.toString("latin1").toLowerCase());
    }
  }
  return {
    permittedHosts: permitted.length === 0 ? undefined : permitted,
    excludedHosts: excluded,
  };
}

/** Whether an authority under these constraints may name workloads of a trust domain. */
export function permitsTrustDomain(
  constraints: NameConstraints | undefined,
  trustDomain: string,
): boolean {
  if (constraints === undefined) return true;
  const { permittedHosts, excludedHosts } = constraints;
  if (excludedHosts.some((host) => covers(host, trustDomain))) return false;
  return permittedHosts?.some((host) => covers(host, trustDomain)) ?? true;
}

function covers(host: string, trustDomain: string): boolean {
  if (host.startsWith(".")) return trustDomain.endsWith(host);
  // OpenSSL reads the empty constraint as "every host".
  return host === "" || host === trustDomain;
}

// The name of a workload on the wire: a SPIFFE ID of Istio's shape,
// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

// Limits of the SPIFFE ID standard, section 2.
const TRUST_DOMAIN_LENGTH = 255;
const ID_LENGTH = 2_048;

// SPIFFE allows dots and dashes at the ends as well; we do not, because a name constraint that
// begins with a dot means "every subdomain of" (RFC 5280, section 4.2.1.10).
const TRUST_DOMAIN = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const WORKLOAD_ID = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;
const SUBDOMAIN_LENGTH = 253;

/**
 * The URI of an identity, for a certificate.
 * @param identity of parts that the API server accepted: they are not checked again
 */
export function formatSpiffeId(identity: WorkloadIdentity): string {
  const { trustDomain, namespace, serviceAccount } = identity;
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/**
 * The workload that a URI names; undefined unless the URI is exactly what `formatSpiffeId` writes
 * for a trust domain, a namespace (DNS label) and a ServiceAccount (DNS subdomain). So no port,
 * user, query, fragment, percent, upper case, or empty or dot segment. Never throws.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity
 */
export function parseSpiffeId(uri: string): WorkloadIdentity | undefined {
  if (uri.length > ID_LENGTH) return undefined;
  const [, trustDomain = "", namespace = "", serviceAccount = ""] = WORKLOAD_ID.exec(uri) ?? [];
  if (!isTrustDomain(trustDomain) || !DNS_LABEL.test(namespace)) return undefined;
  if (!isSubdomain(serviceAccount)) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

/** Whether identities can be told apart by this text. Never throws. */
export function isTrustDomain(text: string): boolean {
  return text.length <= TRUST_DOMAIN_LENGTH && TRUST_DOMAIN.test(text);
}

function isSubdomain(text: string): boolean {
  return text.length <= SUBDOMAIN_LENGTH && text.split(".").every((label) => DNS_LABEL.test(label));
}

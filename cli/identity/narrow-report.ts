// The part of a report that is about one pod or one identity. Pure.

import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";

/**
 * Keeps the pods and identities that a person asked about.
 * @param subject `namespace/pod`, `pod` of namespace default, or a SPIFFE ID
 * @returns undefined when there is neither such a pod nor such an identity
 */
export function narrowReport(report: IdentityReport, subject: string): IdentityReport | undefined {
  const isIdentity = subject.startsWith("spiffe://");
  const name = isIdentity || subject.includes("/") ? subject : `default/${subject}`;
  const pods = report.pods.filter(({ pod, identity }) => (isIdentity ? identity : pod) === name);
  const wanted = new Set(isIdentity ? [subject] : pods.map(({ identity }) => identity));
  const identities = report.identities.filter(({ identity }) => wanted.has(identity));
  const { host, ...rest } = report;
  const isHost = host !== undefined && host.identity === subject;
  if (pods.length + identities.length === 0 && !isHost) return undefined;
  return { ...rest, pods, identities, ...(isHost && { host }) };
}

// An IdentityReport as text for people.

import type { IdentityReport, PodIdentity } from "../../netpol-identity/apply/identity-report.ts";
import { formatTable } from "../output.ts";

/** So much of a fingerprint tells roots apart. */
const SHOWN_FINGERPRINT = 23;
const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

export function formatIdentities(report: IdentityReport): string {
  const { node, trustDomain, meshDefault, dropped, peerCount } = report;
  return [
    `node ${node}, trust domain ${trustDomain}, ${
      meshDefault === "none" ? "no pod has an identity" : `pods without a label are ${meshDefault}`
    }\n`,
    section("certificates", certificateRows(report)),
    section("processes of the node", hostRows(report)),
    section("pods", podRows(report.pods)),
    section("trusted roots", rootRows(report)),
    section("banned nodes", banRows(report)),
    section("enrolled elsewhere", peerRows(report)),
    `\n${peerCount} addresses of enrolled pods elsewhere\n`,
    `dropped ${dropped.spoofed} packets with a foreign sender, ${dropped.closed} to strict pods\n`,
    section("problems", list([...report.problems, ...report.exposure.map(shown)])),
  ].join("");
}

/** A duration by its two largest units, such as `2d 3h`; below a second `0s`. */
export function formatAge(durationMs: number): string {
  const parts: string[] = [];
  let restMs = Math.abs(durationMs);
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(restMs / unitMs);
    restMs -= count * unitMs;
    if (count > 0) parts.push(`${count}${unit}`);
    if (parts.length > 0 && (count === 0 || parts.length === 2)) break;
  }
  return `${durationMs < 0 ? "-" : ""}${parts.join(" ") || "0s"}`;
}

/** Without its rows beneath a heading it says nothing. */
function section(title: string, rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? "" : `\n${title}\n${formatTable(rows.map((row) => ["", ...row]))}`;
}

function certificateRows({ identities, atMs }: IdentityReport): string[][] {
  if (identities.length === 0) return [["none: nobody here has an identity to prove"]];
  const rows = identities.map(({ identity, state, certificate, lastError = "" }) => {
    if (certificate === undefined) return [identity, state, "-", "-", "-", "-", "-", lastError];
    const { serial, issuer, issuedMs, notAfterMs, nextRenewalMs } = certificate;
    const times = [atMs - issuedMs, notAfterMs - atMs, nextRenewalMs - atMs].map(formatAge);
    return [identity, state, ...times, serial, issuer, lastError];
  });
  return [
    ["IDENTITY", "STATE", "AGE", "EXPIRES IN", "RENEWAL IN", "SERIAL", "ISSUER", "LAST ERROR"],
    ...rows,
  ];
}

function hostRows({ host }: IdentityReport): string[][] {
  if (host === undefined) return [];
  const { identity, lacks } = host;
  return [[identity, lacks === undefined ? "the agent's ServiceAccount" : `NOT PROVEN: ${lacks}`]];
}

function podRows(pods: readonly PodIdentity[]): string[][] {
  if (pods.length === 0) return [];
  const rows = pods.map(({ pod, mode, identity, addresses, lacks, rule }) => [
    pod,
    mode,
    identity ?? "-",
    [...new Set(addresses.map((place) => place.interface ?? "(not bound)"))].join(", ") || "-",
    lacks === undefined ? rule : `NO IDENTITY: ${lacks}; ${rule}`,
  ]);
  return [["POD", "MODE", "IDENTITY", "INTERFACE", "WHY"], ...rows];
}

function rootRows({ trust, atMs }: IdentityReport): string[][] {
  if (trust.length === 0) return [["none: nobody is believed"]];
  const rows = trust.map(({ domain, fingerprint, notAfterMs, subject }) => [
    domain,
    `${fingerprint.slice(0, SHOWN_FINGERPRINT)}…`,
    formatAge(notAfterMs - atMs),
    subject,
  ]);
  return [["DOMAIN", "SHA-256", "EXPIRES IN", "SUBJECT"], ...rows];
}

function banRows({ bans }: IdentityReport): string[][] {
  return bans.map(({ node, untilMs }) => [node, `issued until ${new Date(untilMs).toISOString()}`]);
}

function peerRows({ peers = [] }: IdentityReport): string[][] {
  return peers.map(({ address, identity }) => [address, identity]);
}

function list(sentences: readonly string[]): string[][] {
  return sentences.map((sentence) => [sentence]);
}

function shown(exposure: string): string {
  return `keys of the node's process can be read: ${exposure}`;
}

// What a node trusts: the roots of each trust domain, and the nodes whose certificates count no
// more. Read from what the certificate authority publishes.

import { readCertificate } from "../../lib/x509/pem.ts";
import type { NodeBan } from "./tunnel-plan.ts";

export interface Trust {
  /** PEM, by trust domain. Never merged. */
  readonly bundles: ReadonlyMap<string, readonly string[]>;
  readonly bans: readonly NodeBan[];
}

export const NO_TRUST: Trust = { bundles: new Map(), bans: [] };

const ROOTS_SUFFIX = ".pem";
/** The key of the bans. */
export const BANS_KEY = "bans.json";
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

/** The key under which the roots of a trust domain are published. */
export function rootsKey(trustDomain: string): string {
  return `${trustDomain}${ROOTS_SUFFIX}`;
}

/** Reads a published bundle. Roots and bans that cannot be read are none; never throws. */
export function parseTrust(data: Readonly<Record<string, string>>): Trust {
  const bundles = new Map<string, readonly string[]>();
  for (const [key, text] of Object.entries(data)) {
    if (!key.endsWith(ROOTS_SUFFIX)) continue;
    // One slip in the roots of another domain must not end the trust in all.
    const roots = (text.match(CERTIFICATE) ?? []).filter((pem) => readCertificate(pem));
    bundles.set(key.slice(0, -ROOTS_SUFFIX.length), roots);
  }
  return { bundles, bans: parseBans(data[BANS_KEY]) };
}

function parseBans(text: string | undefined): readonly NodeBan[] {
  if (text === undefined) return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(parsed) ? parsed.filter(isBan) : [];
}

function isBan(value: unknown): value is NodeBan {
  if (typeof value !== "object" || value === null) return false;
  const { node, untilMs } = value as Partial<NodeBan>;
  return typeof node === "string" && typeof untilMs === "number";
}

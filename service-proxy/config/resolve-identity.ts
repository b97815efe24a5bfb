// The settings of identities as one value, checked.

import { isTrustDomain } from "../../lib/x509/spiffe-id.ts";
import type { AuthoritySettings, IdentitySettings } from "./node-settings.ts";
import type { SettingProblem } from "./setting-problem.ts";
import type { SettingValues } from "./setting-values.ts";
import { settingsTable as table } from "./settings-table.ts";

const SHORTEST_MS = 600_000;
const LONGEST_MS = 7 * 86_400_000;

/** With errors, what stands in the place of what is wrong must not be run. */
export function resolveIdentity(values: SettingValues, errors: SettingProblem[]): IdentitySettings {
  const trustDomain = values.value(table.trustDomain);
  if (!isTrustDomain(trustDomain)) {
    const want = "use lower-case letters, digits, dots and dashes";
    errors.push({
      where: values.where(table.trustDomain),
      message: `"${trustDomain}" is no trust domain; ${want}`,
    });
  }
  const lifetimeMs = values.value(table.leafLifetime);
  if (lifetimeMs < SHORTEST_MS || lifetimeMs > LONGEST_MS) {
    errors.push({
      where: values.where(table.leafLifetime),
      message: "is out of range; use 10m to 168h",
    });
  }
  const authority = parseAuthority(values.value(table.certificateAuthority));
  if (authority === undefined) {
    errors.push({
      where: values.where(table.certificateAuthority),
      message: "names no authority; use service:NAMESPACE/NAME:PORT, https://HOST:PORT or dir:PATH",
    });
  }
  return {
    mode: values.value(table.identity),
    trustDomain,
    authority: authority ?? { kind: "directory", path: "" },
    tokenFile: values.value(table.certificateAuthorityToken),
    lifetimeMs,
    tunnelPort: values.value(table.tunnelPort),
    directPort: values.value(table.directPort),
  };
}

/** As it is written in files and flags. */
export function formatAuthority(authority: AuthoritySettings): string {
  switch (authority.kind) {
    case "service":
      return `service:${authority.service}:${authority.port}`;
    case "url":
      return authority.url;
    case "directory":
      return `dir:${authority.path}`;
    default:
      return authority satisfies never;
  }
}

function parseAuthority(text: string): AuthoritySettings | undefined {
  const service = /^service:([a-z0-9-]+\/[a-z0-9-]+):(\d{1,5})$/.exec(text);
  if (service?.[1] !== undefined) {
    return { kind: "service", service: service[1], port: Number(service[2]) };
  }
  if (text.startsWith("dir:") && text.length > 4) return { kind: "directory", path: text.slice(4) };
  if (!/^https:\/\/[^/]+$/.test(text) || !URL.canParse(text)) return undefined;
  return { kind: "url", url: text };
}

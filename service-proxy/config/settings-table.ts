// The table of all settings: what a node can be told, by flag and by file. Everything that reads,
// explains or documents settings walks this.

import { foreignSettings } from "./foreign-settings.ts";
import { identitySettings } from "./identity-settings.ts";
import { laneSettings } from "./lane-settings.ts";
import { policySettings } from "./policy-settings.ts";
import { actionSettings, loggingSettings, serverSettings, sourceSettings } from "./run-settings.ts";
import type { Setting } from "./setting.ts";
import { conntrackSettings, serviceSettings, syncSettings } from "./traffic-settings.ts";

export const settingsTable = {
  ...actionSettings,
  ...sourceSettings,
  ...syncSettings,
  ...serviceSettings,
  ...laneSettings,
  ...identitySettings,
  ...policySettings,
  ...conntrackSettings,
  ...serverSettings,
  ...loggingSettings,
  ...foreignSettings,
};

export interface SettingGroup {
  readonly title: string;
  readonly settings: readonly Setting<unknown>[];
}

/** The table in reading order, under headings. */
export const settingGroups: readonly SettingGroup[] = [
  { title: "What to do", settings: Object.values(actionSettings) },
  { title: "Where objects come from", settings: Object.values(sourceSettings) },
  { title: "Programming the kernel", settings: Object.values(syncSettings) },
  { title: "Service traffic", settings: Object.values(serviceSettings) },
  { title: "Userspace lanes", settings: Object.values(laneSettings) },
  { title: "Identities", settings: Object.values(identitySettings) },
  { title: "Policies", settings: Object.values(policySettings) },
  { title: "Connection tracking", settings: Object.values(conntrackSettings) },
  { title: "Servers and process", settings: Object.values(serverSettings) },
  { title: "Logging", settings: Object.values(loggingSettings) },
  { title: "Taken for compatibility only", settings: Object.values(foreignSettings) },
];

export const allSettings: readonly Setting<unknown>[] = Object.values(settingsTable);

export type SettingsBy = ReadonlyMap<string, Setting<unknown>>;

export const settingsByFlag: SettingsBy = indexBy((setting) => setting.flag);
/** By path in KubeProxyConfiguration. */
export const settingsByField: SettingsBy = indexBy((setting) => setting.field);
/** By path in NodeConfiguration. */
export const settingsByNodeField: SettingsBy = indexBy((setting) => setting.nodeField);

function indexBy(keyOf: (setting: Setting<unknown>) => string | undefined): SettingsBy {
  const found = new Map<string, Setting<unknown>>();
  for (const setting of allSettings) {
    const key = keyOf(setting);
    if (key !== undefined) found.set(key, setting);
  }
  return found;
}

// The door to settings: a command line, and the file it may name, become one model. Pure: the
// caller reads the file.

import { type ConfigurationFile, readConfigurationFile } from "./configuration-file.ts";
import { type KnownFlags, scanFlags } from "./flag-scanner.ts";
import { kubeProxyConfigurationKind } from "./kube-proxy-configuration.ts";
import { nodeConfigurationKind } from "./node-configuration.ts";
import type { NodeSettings } from "./node-settings.ts";
import { resolveSettings } from "./resolve-settings.ts";
import type { SettingProblem } from "./setting-problem.ts";
import { joinSettingValues } from "./setting-values.ts";
import { settingsByFlag } from "./settings-table.ts";

export interface ParsedNodeFlags {
  /** Complete even with errors, but then not to be run: defaults stand in for what is wrong. */
  readonly settings: NodeSettings;
  readonly warnings: readonly SettingProblem[];
  readonly errors: readonly SettingProblem[];
}

const knownFlags: KnownFlags = {
  has: (name) => settingsByFlag.has(name),
  valueOptional: (name) => settingsByFlag.get(name)?.type.valueOptional === true,
  longName: (letter) => ({ h: "help", v: "v" })[letter],
  names: settingsByFlag.keys().toArray(),
};

/**
 * Reads `innermesh node`'s command line, which is kube-proxy's plus our own flags. Never throws.
 * @param argv without the program's name and verb
 * @param readFile returns the text of the file that --config names; may throw
 */
export function parseNodeFlags(
  argv: readonly string[],
  readFile: (path: string) => string,
): ParsedNodeFlags {
  const flags = scanFlags(argv, knownFlags);
  const path = flags.texts.get("config")?.at(-1) ?? "";
  const file = path === "" ? undefined : loadFile(path, readFile);
  const values = joinSettingValues(flags, file);
  const resolved = resolveSettings(values);
  return {
    settings: resolved.settings,
    warnings: [...(file?.warnings ?? []), ...values.warnings, ...resolved.warnings],
    errors: [...flags.problems, ...(file?.errors ?? []), ...values.errors, ...resolved.errors],
  };
}

function loadFile(path: string, readFile: (path: string) => string): ConfigurationFile {
  const kinds = [kubeProxyConfigurationKind, nodeConfigurationKind];
  try {
    return readConfigurationFile(path, readFile(path), kinds);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const error = { where: "--config", message: `cannot read ${path}: ${why}` };
    return { values: new Map(), warnings: [], errors: [error] };
  }
}

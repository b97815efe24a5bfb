// Joins what flags and file gave into one value per setting, by kube-proxy's rules of precedence:
// with a file, flags that it has fields for do not count.

import type { ConfigurationFile, FieldValue } from "./configuration-file.ts";
import { parseGoDuration } from "./duration.ts";
import type { ScannedFlags } from "./flag-scanner.ts";
import { kubeProxyConfigurationKind } from "./kube-proxy-configuration.ts";
import { nodeConfigurationKind } from "./node-configuration.ts";
import type { Setting } from "./setting.ts";
import type { SettingProblem } from "./setting-problem.ts";
import { allSettings } from "./settings-table.ts";
import type { Read } from "./value-type.ts";

export interface SettingValues {
  /** What was given; undefined when nothing was, or nothing readable. */
  given<T>(setting: Setting<T>): T | undefined;
  /** What was given, else the default. */
  value<T>(setting: Setting<T>): T;
  /** Where it was given, for messages; else the name it could be given by. */
  where(setting: Setting<unknown>): string;
  readonly warnings: readonly SettingProblem[];
  readonly errors: readonly SettingProblem[];
}

type RawValue =
  | { readonly kind: "flag"; readonly where: string; readonly texts: readonly string[] }
  | { readonly kind: "field"; readonly where: string; readonly value: unknown };

/** Never throws; unreadable values are errors and count as not given. */
export function joinSettingValues(
  flags: ScannedFlags,
  file: ConfigurationFile | undefined,
): SettingValues {
  const raws = new Map<Setting<unknown>, RawValue>();
  const overruled: Setting<unknown>[] = [];
  const errors: SettingProblem[] = [];
  for (const setting of allSettings) {
    const flag = flagValue(setting, flags);
    const field = file === undefined ? undefined : fieldValue(setting, file);
    const flagCounts = file === undefined || setting.besideConfig === true;
    if (flag !== undefined && !flagCounts) {
      overruled.push(setting);
      check(setting, flag, errors);
    }
    const raw = flagCounts ? (flag ?? field) : field;
    if (raw !== undefined && check(setting, raw, errors)) raws.set(setting, raw);
  }
  const given = <T>(setting: Setting<T>): T | undefined => {
    const raw = raws.get(setting);
    const read = raw === undefined ? undefined : readRaw(setting, raw);
    return read?.ok === true ? read.value : undefined;
  };
  return {
    given,
    value: (setting) => given(setting) ?? setting.default,
    where: (setting) => raws.get(setting)?.where ?? nameOf(setting),
    warnings: [...overruledWarning(overruled), ...declinedWarnings(raws)],
    errors,
  };
}

/** The name a setting is best known by: its flag, else its field. */
export function nameOf(setting: Setting<unknown>): string {
  if (setting.flag === undefined) return setting.field ?? setting.nodeField ?? "";
  return setting.flag.length === 1 ? `-${setting.flag}` : `--${setting.flag}`;
}

function flagValue(setting: Setting<unknown>, flags: ScannedFlags): RawValue | undefined {
  const texts = setting.flag === undefined ? undefined : flags.texts.get(setting.flag);
  return texts === undefined ? undefined : { kind: "flag", where: nameOf(setting), texts };
}

function fieldValue(setting: Setting<unknown>, file: ConfigurationFile): RawValue | undefined {
  const found =
    lookUp(file, nodeConfigurationKind.kind, setting.nodeField) ??
    lookUp(file, kubeProxyConfigurationKind.kind, setting.field);
  if (found === undefined || found.value === "") return undefined;
  if (setting.zeroIsUnset === true && isZero(found.value)) return undefined;
  return { kind: "field", ...found };
}

function isZero(value: unknown): boolean {
  return value === 0 || (typeof value === "string" && parseGoDuration(value) === 0);
}

function lookUp(
  file: ConfigurationFile,
  kind: string,
  field: string | undefined,
): FieldValue | undefined {
  return field === undefined ? undefined : file.values.get(kind)?.get(field);
}

function readRaw<T>(setting: Setting<T>, raw: RawValue): Read<T> {
  if (raw.kind === "flag") return setting.type.fromFlag(raw.texts);
  return setting.type.fromField(raw.value);
}

function check(setting: Setting<unknown>, raw: RawValue, errors: SettingProblem[]): boolean {
  const read = readRaw(setting, raw);
  if (!read.ok) errors.push({ where: raw.where, message: read.why });
  return read.ok;
}

function overruledWarning(overruled: readonly Setting<unknown>[]): SettingProblem[] {
  if (overruled.length === 0) return [];
  const fields = overruled.map((setting) => setting.field).filter((field) => field !== undefined);
  const advice = fields.length === 0 ? "" : `; set ${fields.join(", ")} in the file`;
  const where = overruled.map(nameOf).join(", ");
  return [{ where, message: `has no effect beside --config${advice}` }];
}

/** One warning per reason, naming every setting it is about. */
function declinedWarnings(raws: ReadonlyMap<Setting<unknown>, RawValue>): SettingProblem[] {
  const byReason = new Map<string, string[]>();
  for (const [setting, raw] of raws) {
    if (setting.status !== "warn") continue;
    const read = readRaw(setting, raw);
    const isDefault =
      read.ok && setting.type.format(read.value) === setting.type.format(setting.default);
    if (!isDefault) byReason.set(setting.why, [...(byReason.get(setting.why) ?? []), raw.where]);
  }
  return [...byReason].map(([message, where]) => ({ where: where.join(", "), message }));
}

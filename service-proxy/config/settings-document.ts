// Prints the table of settings: docs/flags.md for reading, --help for a terminal.

import type { Setting } from "./setting.ts";
import { nameOf } from "./setting-values.ts";
import { settingGroups } from "./settings-table.ts";

const HELP_WIDTH = 96;
const HELP_INDENT = "      ";

/** Markdown tables, one per group, with every flag and every field. */
export function formatSettingsTable(): string {
  return settingGroups
    .map(({ title, settings }) => {
      const rows = settings.map(formatRow);
      const head = ["Flag", "Field", "Type", "Default", "Status", "Meaning"];
      const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
      return `## ${title}\n\n${lines.join("\n")}\n`;
    })
    .join("\n");
}

/** The options part of `innermesh node --help`, for a terminal of 100 columns. */
export function formatFlagHelp(): string {
  return settingGroups
    .map(({ title, settings }) => {
      const entries = settings.filter((setting) => setting.flag !== undefined).map(formatHelpEntry);
      return [`${title}:`, ...entries].join("\n");
    })
    .join("\n\n");
}

function formatRow(setting: Setting<unknown>): string[] {
  const why = setting.status === "supported" ? "" : ` ${sentence(setting.why)}`;
  const status = setting.status === "warn" ? "no effect, warns" : setting.status;
  return [
    setting.flag === undefined ? "" : code(nameOf(setting)),
    fieldOf(setting),
    setting.type.name,
    defaultOf(setting, code),
    setting.besideConfig === true ? `${status}, beside `.concat(code("--config")) : status,
    `${setting.help}${why}`,
  ].map((cell) => cell.replaceAll("|", "\\|"));
}

function fieldOf(setting: Setting<unknown>): string {
  if (setting.nodeField !== undefined) return `${code(setting.nodeField)} (NodeConfiguration)`;
  return setting.field === undefined ? "" : code(setting.field);
}

function defaultOf(setting: Setting<unknown>, quote: (text: string) => string): string {
  if (setting.defaultNote !== undefined) return setting.defaultNote;
  const text = setting.type.format(setting.default);
  return text === "" ? "" : quote(text);
}

function formatHelpEntry(setting: Setting<unknown>): string {
  const type = setting.type.valueOptional === true ? "" : ` ${setting.type.name}`;
  const shown = defaultOf(setting, (text) => text);
  const note = shown === "" || shown === "false" ? "" : ` (default ${shown})`;
  const why = setting.status === "supported" ? "" : ` ${sentence(setting.why)}`;
  const lines = wrap(`${setting.help}${why}${note}`, HELP_WIDTH - HELP_INDENT.length);
  return [`  ${nameOf(setting)}${type}`, ...lines.map((line) => HELP_INDENT + line)].join("\n");
}

/** `has no effect: …` → `Has no effect: ….` */
function sentence(why: string): string {
  const text = `${why.charAt(0).toUpperCase()}${why.slice(1)}`;
  return text.endsWith(".") ? text : `${text}.`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function code(text: string): string {
  return `\`${text}\``;
}

// One JSON log line as a line for people: time, level, message, then the fields. Pure.

/** `2026-01-02T03:04:05.678Z INFO  message name=value other="two words"`, with a newline. */
export function formatTextLine(jsonLine: string): string {
  const record: unknown = JSON.parse(jsonLine);
  if (typeof record !== "object" || record === null) return jsonLine;
  const { time, level, message, ...fields } = Object.fromEntries(Object.entries(record));
  const told = typeof message === "string" ? escapeControls(message) : showWord(message);
  const head = `${showWord(time)} ${showWord(level).toUpperCase().padEnd(5)} ${told}`;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${showWord(value)}`);
  return `${[head, ...pairs].join(" ")}\n`;
}

/** Control characters would let a value forge a line or drive the terminal. */
function escapeControls(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function showWord(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@%+-]+$/.test(value)) return value;
  return JSON.stringify(value) ?? "undefined";
}

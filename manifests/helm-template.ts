// As much of Helm's template language as our chart uses: values that are put in, and whole files
// that depend on a value. Anything else is an error, so that the chart stays this simple and its
// defaults can be compared with kustomize's base without Helm. Pure.

import { parse } from "yaml";

/**
 * Renders one template of the chart.
 * @param valuesYaml the chart's values.yaml
 * @returns its text; empty when its condition does not hold
 * @throws Error at anything that Helm may know and this does not
 */
export function renderTemplate(template: string, valuesYaml: string): string {
  const values: unknown = parse(valuesYaml);
  const whole = /^\{\{- if \.Values\.([\w.]+) \}\}\n([^]*)\{\{- end \}\}\n$/.exec(template);
  if (whole !== null && valueAt(values, whole[1] ?? "") === "") return "";
  const body = whole?.[2] ?? template;
  const text = body.replaceAll(/\{\{ \.Values\.([\w.]+) \}\}/g, (_, path: string) =>
    valueAt(values, path),
  );
  if (text.includes("{{")) throw new Error("Cannot render a template: only values can be put in");
  return text;
}

function valueAt(values: unknown, path: string): string {
  let value = values;
  for (const name of path.split(".")) {
    value = typeof value === "object" && value !== null ? { ...value }[name] : undefined;
  }
  if (typeof value === "string") return value;
  throw new Error(`Cannot render a template: values.yaml has no text "${path}"`);
}

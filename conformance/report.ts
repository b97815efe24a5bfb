// Reports of a run: a table for people, JSON of our own kind, JUnit for CI. Pure.

import {
  type CaseResult,
  countOutcomes,
  type Outcome,
  type OutcomeKind,
  type RunResult,
} from "./case-result.ts";

export type ReportFormat = "table" | "json" | "junit";
export const reportFormats: readonly ReportFormat[] = ["table", "json", "junit"];

/** The document for a format; the table's rows are printed as cases end, so this is its end. */
export function formatReport(format: ReportFormat, run: RunResult): string {
  switch (format) {
    case "table":
      return formatSummary(run);
    case "json":
      return formatJson(run);
    case "junit":
      return formatJunit(run);
  }
}

const marks: Readonly<Record<OutcomeKind, string>> = {
  passed: "PASS",
  flaky: "FLAKY",
  failed: "FAIL",
  skipped: "SKIP",
  interrupted: "CUT",
};

/** One case: `PASS  cluster-ip-tcp  IPv4  0.8s  a pod reaches …`, and below it why not. */
export function formatRow(result: CaseResult): string {
  const { outcome, id, tookMs, name, leftovers } = result;
  const seconds = `${(tookMs / 1000).toFixed(1)}s`;
  const columns = [
    marks[outcome.kind].padEnd(5),
    id.padEnd(32),
    familyName(result).padEnd(4),
    seconds.padStart(6),
    name,
  ];
  const notes = [...reasonsOf(outcome), ...leftovers.map((what) => `left behind: ${what}`)];
  return [columns.join("  "), ...notes.map((note) => `       ${note}`)].join("\n");
}

function formatSummary({ suite, cases, tookMs, proxyMode }: RunResult): string {
  const { passed, flaky, failed, skipped, interrupted } = countOutcomes(cases);
  const parts = [`${passed} passed`, `${flaky} flaky`, `${failed} failed`, `${skipped} skipped`];
  if (interrupted > 0) parts.push(`${interrupted} interrupted`);
  const mode = proxyMode === undefined ? "" : ` (proxy mode ${proxyMode})`;
  return `conformance ${suite}${mode}: ${parts.join(", ")} in ${(tookMs / 1000).toFixed(0)}s\n`;
}

function formatJson(run: RunResult): string {
  const { suite, startedAt, tookMs, proxyMode, nodes, cases } = run;
  const document = {
    apiVersion: "innermesh.io/v1alpha1",
    // Not ConformanceReport: only the upstream suites of an API may call theirs so.
    kind: "ConformanceRun",
    suite,
    startedAt,
    tookMs,
    ...(proxyMode !== undefined && { proxyMode }),
    nodes,
    counts: countOutcomes(cases),
    cases: cases.map((result) => ({ ...result, family: familyName(result) })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function formatJunit({ suite, startedAt, tookMs, cases }: RunResult): string {
  const { failed, skipped, interrupted } = countOutcomes(cases);
  const counts = { tests: cases.length, failures: failed, errors: interrupted, skipped };
  const head = attributes({
    name: `innermesh conformance ${suite}`,
    ...counts,
    time: seconds(tookMs),
    timestamp: startedAt,
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites><testsuite${head}>`,
    ...cases.map(formatJunitCase),
    "</testsuite></testsuites>",
    "",
  ].join("\n");
}

function formatJunitCase(result: CaseResult): string {
  const { suite, id, name, tookMs, outcome } = result;
  const head = attributes({
    classname: `${suite}.${id}`,
    name: `${name} [${familyName(result)}]`,
    time: seconds(tookMs),
  });
  return `<testcase${head}>${junitOutcome(outcome)}</testcase>`;
}

function junitOutcome(outcome: Outcome): string {
  const text = reasonsOf(outcome).join("\n");
  switch (outcome.kind) {
    case "passed":
      return "";
    case "flaky":
      return `<system-out>${escapeXml(text)}</system-out>`;
    case "failed":
      return `<failure${attributes({ message: outcome.why })}>${escapeXml(text)}</failure>`;
    case "skipped":
      return `<skipped${attributes({ message: outcome.why })}/>`;
    case "interrupted":
      return '<error message="interrupted"/>';
  }
}

function reasonsOf(outcome: Outcome): readonly string[] {
  switch (outcome.kind) {
    case "failed":
      return [outcome.why, ...outcome.earlier.map((why) => `earlier attempt: ${why}`)];
    case "flaky":
      return outcome.earlier.map((why) => `earlier attempt: ${why}`);
    case "skipped":
      return [outcome.why];
    case "passed":
    case "interrupted":
      return [];
  }
}

function familyName({ family }: CaseResult): "IPv4" | "IPv6" {
  return family === "ip" ? "IPv4" : "IPv6";
}

function seconds(durationMs: number): string {
  return (durationMs / 1000).toFixed(3);
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escapeXml(String(value))}"`)
    .join("");
}

/** Also drops control characters, which XML 1.0 cannot carry at all. */
function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\P{Cc}\n\t]/gu, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

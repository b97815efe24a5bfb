// One `innermesh conformance run`: from options to a report and an exit code.

import { exitCodeOf } from "./case-result.ts";
import { RefusedError } from "./cluster/cluster.ts";
import { ConformanceError } from "./conformance-error.ts";
import { formatReport, formatRow, type ReportFormat } from "./report.ts";
import { runCases } from "./runner.ts";
import { selectCases } from "./select.ts";
import { Session, type SessionOptions } from "./session.ts";
import { findSuite } from "./suites.ts";

export interface RunSuiteOptions extends SessionOptions {
  readonly suite: string;
  /** Regular expressions on case ids; `!` in front excludes. */
  readonly patterns: readonly string[];
  readonly format: ReportFormat;
  readonly limitMs: number;
  readonly retries: number;
  readonly parallel: number;
  /** Where the report goes; a table's rows as cases end. */
  readonly write: (text: string) => void;
}

/** 0 all holds, 1 something does not, 2 wrong use, 3 the cluster cannot be reached. */
export type ExitCode = 0 | 1 | 2 | 3;

/** Runs a suite and cleans up, also when `signal` aborts it. Rejects only on a bug. */
export async function runSuite(options: RunSuiteOptions, signal: AbortSignal): Promise<ExitCode> {
  const session = new Session(options);
  try {
    const { name, cases } = findSuite(options.suite);
    const chosen = selectCases(cases, options.patterns);
    const doors = await session.open(signal);
    const run = await runCases(
      {
        ...options,
        ...doors,
        suite: name,
        cases: chosen,
        onResult: (result) => {
          const row = `${formatRow(result)}\n`;
          if (options.format === "table") options.write(row);
          else options.onProgress(row.trimEnd());
        },
      },
      signal,
    );
    options.write(formatReport(options.format, run));
    return exitCodeOf(run.cases);
  } catch (error) {
    if (signal.aborted) return 1;
    options.onProgress(error instanceof Error ? error.message : String(error));
    return exitCodeFor(error);
  } finally {
    await session[Symbol.asyncDispose]();
  }
}

function exitCodeFor(error: unknown): ExitCode {
  if (error instanceof ConformanceError) return error.code === "usage" ? 2 : 3;
  if (error instanceof RefusedError) return 1;
  throw error; // A bug: let it end the process with its stack.
}

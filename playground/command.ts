// Runs one program to its end and keeps what it said.

import { execFile } from "node:child_process";
import { constants } from "node:os";

import { PlaygroundError } from "./playground-error.ts";

export interface CommandOptions {
  /** Written to standard input, which is then closed. @default "" */
  readonly input?: string;
  /** The program gets SIGKILL after this long. @default 30000 */
  readonly timeoutMs?: number;
  /** Added to the caller's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  /** Exit code; 128 + n when signal n ended it, as shells count. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Programs that print more than this are ended. */
export const maximumOutputBytes = 64 << 20;

/**
 * Runs a program without a shell and waits for its end. A failing program is a result, not an
 * error.
 * @throws PlaygroundError `command-failed` when it could not be started
 */
export function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [file = "", ...rest] = argv;
  const { timeoutMs = 30_000, env, cwd, signal, input = "" } = options;
  return new Promise((resolve, reject) => {
    const settings = {
      encoding: "utf8" as const,
      maxBuffer: maximumOutputBytes,
      timeout: timeoutMs,
      killSignal: "SIGKILL" as const,
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
      ...(signal === undefined ? {} : { signal }),
    };
    const child = execFile(file, rest, settings, (error, stdout, stderr) => {
      if (error === null) return resolve({ code: 0, stdout, stderr });
      if (typeof error.code === "number") return resolve({ code: error.code, stdout, stderr });
      if (error.signal !== undefined && error.signal !== null) {
        return resolve({ code: 128 + constants.signals[error.signal], stdout, stderr });
      }
      const message = `Cannot run "${file}": ${error.message}`;
      reject(new PlaygroundError("command-failed", message, { cause: error }));
    });
    // A program that never reads its input closes the pipe early; its exit code tells the story.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

/**
 * Like `runCommand`, for programs that have to succeed.
 * @returns its standard output
 * @throws PlaygroundError `command-failed` with the program's own words
 */
export async function runOrThrow(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(argv, options);
  if (code === 0) return stdout;
  const words = stderr.trim() === "" ? "it said nothing" : stderr.trim();
  throw new PlaygroundError(
    "command-failed",
    `Cannot finish "${argv.join(" ")}": exit code ${code}, ${words}`,
  );
}

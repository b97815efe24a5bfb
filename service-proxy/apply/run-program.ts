// Runs one program of the node to its end.

import { execFile } from "node:child_process";

const timeoutMs = 120_000; // iptables-restore of 100,000 chains takes most of a minute
const maximumOutputBytes = 512 << 20;

/** How it ended; `missing` means that the node has no such program. */
export type ProgramResult =
  | {
      readonly kind: "ended";
      readonly exitCode: number;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly kind: "missing" };

/** Runs a program without a shell; a failing program is a result, not an error. */
export type RunProgram = (
  program: string,
  args: readonly string[],
  input?: string,
) => Promise<ProgramResult>;

/** @throws ProgramError when it could not be started, printed too much, or did not end in 2 min */
export const runProgram: RunProgram = (program, args, input = "") =>
  new Promise((resolve, reject) => {
    const options = {
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer: maximumOutputBytes,
    } as const;
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: "ended", exitCode: 0, stdout, stderr });
      else if (typeof error.code === "number") {
        resolve({ kind: "ended", exitCode: error.code, stdout, stderr });
      } else if (error.code === "ENOENT") resolve({ kind: "missing" });
      else reject(new ProgramError(program, String(error.code ?? error.signal), error));
    });
    // A program that never reads its input closes the pipe early; its exit code tells the story.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });

/** A program could not be run to its end. `code` is an errno name or a signal. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly code: string;

  constructor(program: string, code: string, cause: unknown) {
    super(`Cannot run "${program}" to its end: ${code}`, { cause });
    this.code = code;
  }
}

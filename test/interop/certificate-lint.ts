// What zlint thinks of certificates: ./certificate-lint, a Go program over its package.

import { execFile } from "node:child_process";
import { ensureBinaries } from "../cluster/binaries.ts";

/** Names of the rules that a certificate breaks, sorted. */
export interface LintVerdict {
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  readonly notices: readonly string[];
  /** How many rules apply and hold. */
  readonly passed: number;
}

/**
 * Judges each certificate of a PEM text, in its order.
 * @throws when one cannot even be parsed
 */
export async function lintCertificates(pem: string): Promise<readonly LintVerdict[]> {
  const { "certificate-lint": program } = await ensureBinaries(["certificate-lint"]);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(program, [], (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`Cannot lint: ${stderr.trim()}`, { cause: error }));
  });
  child.stdin?.end(pem);
  const lines = (await promise).trim().split("\n");
  return lines.map((line) => JSON.parse(line) as LintVerdict);
}

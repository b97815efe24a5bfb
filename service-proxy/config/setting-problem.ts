// What is wrong with one setting, said so that its writer can mend it.

export interface SettingProblem {
  /** `--proxy-mode`, or `kube-proxy.yaml:12 mode`. */
  readonly where: string;
  /** Quoted value, what is wrong, and what to write instead. */
  readonly message: string;
}

/** One line: `--proxy-mode: "x" is not known; use auto or kernel`. */
export function formatSettingProblem(problem: SettingProblem): string {
  return `${problem.where}: ${problem.message}`;
}

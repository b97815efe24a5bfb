// How a command says that it could not do its work. cli/main.ts turns these into exit codes.

/** The command line cannot be understood: exit code 2. */
export class WrongUse extends Error {
  override readonly name = "WrongUse";
}

/** A cluster, a kernel or a file could not be reached: exit code 3. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

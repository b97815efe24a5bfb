// A process that holds private keys keeps its memory to itself: no cores, no debugger, no snapshots
// of its heap. Root with the right to trace any process reads it all the same.

import inspector from "node:inspector";
import { canBeDumped, forbidDumps } from "../lib/sys/ffi.ts";

/** Flags of Node by which memory, or what TLS keeps secret, leaves the process. */
const EXPOSING =
  /^--(inspect|debug|heapsnapshot-|heap-prof|report-(on-|uncaught-)|tls-keylog|trace-tls)/;

/**
 * Those of Node's flags that a process with keys must not run with, as given. Never throws.
 * @param nodeOptions the environment's NODE_OPTIONS
 */
export function exposingFlags(
  execArgv: readonly string[],
  nodeOptions: string | undefined,
): readonly string[] {
  const fromEnvironment = (nodeOptions ?? "").split(/[\s"]+/);
  return [...execArgv, ...fromEnvironment].filter((flag) =>
    // Node takes either spelling.
    EXPOSING.test(flag.replaceAll("_", "-")),
  );
}

/**
 * Closes this process's memory, before there is any key.
 * @returns false when it was started so that it shows its memory; then that has been said
 */
export function guardKeys(): boolean {
  const flags = exposingFlags(process.execArgv, process.env["NODE_OPTIONS"]);
  if (flags.length === 0) {
    closeMemory();
    return true;
  }
  process.stderr.write(
    "Cannot hold private keys in a process that shows its memory: Node was given " +
      `${flags.join(" ")}; start without, or with --identity=none\n`,
  );
  return false;
}

/** Closes what can be closed from within. To be called before there is any key. */
export function closeMemory(): void {
  forbidDumps();
  // Without a listener it is the signal that starts the debugger.
  process.on("SIGUSR1", () => {});
}

/** By what keys in this process could be read at the moment, a phrase each. */
export function memoryExposure(): readonly string[] {
  return [
    ...(canBeDumped() ? ["its memory may be dumped"] : []),
    ...(inspector.url() === undefined ? [] : ["a debugger listens"]),
  ];
}

// Reads small files of /proc, and what programs print, as facts. Files synchronously: /proc/sys/net
// answers for the network namespace of the thread that asks, and Node's threads for files may be of
// another one.

import { readFileSync } from "node:fs";
import { runProgram } from "../../service-proxy/apply/run-program.ts";
import { type Fact, known, unknown } from "./facts.ts";

export function readText(path: string): Fact<string> {
  try {
    return known(readFileSync(path, "utf8").trim());
  } catch (error) {
    return unknown(`cannot read ${path}: ${codeOf(error)}`);
  }
}

export function readNumber(path: string): Fact<number> {
  const text = readText(path);
  if (text.kind === "unknown") return text;
  return /^-?\d+$/.test(text.value)
    ? known(Number(text.value))
    : unknown(`${path} holds no number`);
}

/** A switch: anything but 0 is on. */
export function readSwitch(path: string): Fact<boolean> {
  const value = readNumber(path);
  return value.kind === "unknown" ? value : known(value.value !== 0);
}

/**
 * Runs a program that prints JSON.
 * @throws Error when the program is missing or fails
 */
export async function askJson(program: string, args: readonly string[]): Promise<unknown> {
  const result = await runProgram(program, args);
  if (result.kind === "missing") throw new Error(`this machine has no program "${program}"`);
  if (result.exitCode !== 0) throw new Error(`${program} says: ${result.stderr.trim()}`);
  return JSON.parse(result.stdout);
}

/** What an action gives, or the message of the error that it throws. */
export async function factOf<T>(action: () => T | Promise<T>): Promise<Fact<T>> {
  try {
    return known(await action());
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

// What cyclonus says: ./cyclonus, a Go program over its matcher and its generator of cases.

import assert from "node:assert/strict";
import { promisify } from "node:util";
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { SampleFlow } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import type {
  Manifest,
  PolicyObjects,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { ensureBinaries } from "../cluster/binaries.ts";

/** Allowed, or denied where the packet comes in, where it goes out, or at both. */
export type OracleVerdict = "+" | "i" | "e" | "b";

/** A generated case: each field but one of an action is null. */
export interface CyclonusCase {
  readonly Description: string;
  readonly Tags: Readonly<Record<string, boolean>>;
  readonly Steps: readonly { readonly Actions: readonly CyclonusAction[] | null }[];
}

export interface CyclonusAction {
  readonly CreatePolicy: { readonly Policy: PolicyObject } | null;
  readonly UpdatePolicy: { readonly Policy: PolicyObject } | null;
  readonly DeletePolicy: { readonly Namespace: string; readonly Name: string } | null;
  readonly CreateNamespace: NamespaceLabels | null;
  readonly SetNamespaceLabels: NamespaceLabels | null;
  readonly DeleteNamespace: { readonly Namespace: string } | null;
  readonly CreatePod: PodLabels | null;
  readonly SetPodLabels: PodLabels | null;
  readonly DeletePod: { readonly Namespace: string; readonly Pod: string } | null;
}

export type PolicyObject = Manifest & {
  readonly metadata: { readonly namespace: string; readonly name: string };
};

interface NamespaceLabels {
  readonly Namespace: string;
  readonly Labels: Readonly<Record<string, string>>;
}

interface PodLabels extends NamespaceLabels {
  readonly Pod: string;
}

/** A running judge: worlds go in one after the other. */
export class Cyclonus implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  /** Use `start`. */
  constructor(program: string) {
    this.#child = spawn(program, ["judge"], { stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  static async start(): Promise<Cyclonus> {
    const { "cyclonus-oracle": program } = await ensureBinaries(["cyclonus-oracle"]);
    return new Cyclonus(program);
  }

  /**
   * Judges flows, each as its place in the answer. Not to be called while it judges.
   * @throws where cyclonus finds a policy invalid
   */
  async judge(
    objects: PolicyObjects,
    flows: readonly SampleFlow[],
  ): Promise<readonly OracleVerdict[]> {
    this.#child.stdin.write(`${JSON.stringify({ ...objects, flows })}\n`);
    const line = await this.#answers.next();
    assert(line.done !== true, "cyclonus ended");
    const { verdicts, error }: { verdicts: string; error?: string } = JSON.parse(line.value);
    assert(error === undefined, `Cannot judge: ${error}`);
    return verdicts.split("") as OracleVerdict[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#child.once("close", () => closed.resolve());
    this.#child.stdin.end();
    await closed.promise;
  }
}

/**
 * All cases that cyclonus generates.
 * @param address of pod z/c, for rules about blocks
 */
export async function cyclonusCases(address: string): Promise<readonly CyclonusCase[]> {
  const { "cyclonus-oracle": program } = await ensureBinaries(["cyclonus-oracle"]);
  const options = { maxBuffer: 16 << 20 };
  const { stdout } = await promisify(execFile)(program, ["cases", address], options);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as CyclonusCase);
}

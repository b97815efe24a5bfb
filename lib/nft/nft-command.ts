// A second door to nf_tables: the same transactions as text through the `nft` program. For tests,
// comparison and emergencies. Reads are the netlink door's. README says what nft 1.0.6 cannot do.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNetlinkKernel } from "./kernel.ts";
import { NftError, type NftKernel, type Transaction } from "./objects.ts";
import { formatTransaction } from "./text.ts";

/** The program's answer is one or two lines an error; this is far more than is ever read. */
const MAX_OUTPUT_BYTES = 16 << 20;
const MEMORY_DIRECTORY = "/dev/shm";

/** nft prints libc's text for an errno, or its own; anything else is a script it cannot read. */
const CODE_BY_TEXT: readonly (readonly [text: string, code: string])[] = [
  ["No such file or directory", "ENOENT"],
  ["element does not exist", "ENOENT"],
  ["interval overlaps", "EEXIST"],
  ["File exists", "EEXIST"],
  ["Device or resource busy", "EBUSY"],
  ["Operation not permitted", "EPERM"],
  ["Operation not supported", "EOPNOTSUPP"],
  ["Too many links", "EMLINK"],
  ["Numerical result out of range", "ERANGE"],
  ["Too many open files in system", "ENFILE"],
  ["Cannot allocate memory", "ENOMEM"],
  ["No buffer space available", "ENOBUFS"],
  ["Message too long", "EMSGSIZE"],
];

/**
 * Opens nf_tables of the current network namespace through the `nft` program.
 * @param options.nftPath the program; found in PATH unless set
 * @throws NftError
 */
export async function openCommandKernel(
  options: { readonly nftPath?: string } = {},
): Promise<NftKernel> {
  const reader = await openNetlinkKernel({ thread: "here" });
  const nftPath = options.nftPath ?? "nft";
  let lastCommit: Promise<void> = Promise.resolve();
  return {
    commit: (transactions) => {
      const commit = lastCommit.then(() => runNft(nftPath, transactions));
      lastCommit = commit.catch(() => {});
      return commit;
    },
    read: (family, table) => reader.read(family, table),
    digest: (family, table) => reader.digest(family, table),
    readRules: (...asked) => reader.readRules(...asked),
    readCounters: (place, table) => reader.readCounters(place, table),
    generation: () => reader.generation(),
    close: async () => {
      await lastCommit;
      await reader.close();
    },
  };
}

/** A file, since `nft -f -` cannot open the socket pair that Node makes of a child's stdin. */
async function runNft(nftPath: string, transactions: readonly Transaction[]): Promise<void> {
  const text = transactions.map(formatTransaction).join("");
  if (text.trim() === "") return;
  const directory = await makeDirectory();
  try {
    const path = join(directory, "transaction.nft");
    await writeFile(path, text, { mode: 0o600 });
    await execute(nftPath, ["-f", path]);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function makeDirectory(): Promise<string> {
  try {
    return await mkdtemp(join(MEMORY_DIRECTORY, "innermesh-"));
  } catch {
    return await mkdtemp(join(tmpdir(), "innermesh-"));
  }
}

function execute(nftPath: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(nftPath, args, { maxBuffer: MAX_OUTPUT_BYTES }, (cause, _output, errors) => {
      if (cause === null) return resolve();
      const detail = errors.trim() === "" ? cause.message : errors.trim();
      reject(new NftError("load an nft script", errorCode(cause, errors), { detail, cause }));
    });
  });
}

/** `code` is a string when the program could not start, `signal` is set when it aborted. */
function errorCode(
  cause: { readonly code?: string | number | null; readonly signal?: string | null },
  errors: string,
): string {
  if (typeof cause.code === "string") return cause.code;
  if (typeof cause.signal === "string") return "EIO";
  const firstError = errors.split("\n").find((line) => line.includes("Error:")) ?? "";
  return CODE_BY_TEXT.find(([text]) => firstError.includes(text))?.[1] ?? "EINVAL";
}

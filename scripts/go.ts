// A Go that is new enough. Debian 12 has 1.19, too old to fetch the toolchain that a go.mod names
// (1.21 does so by itself), but able to download it as the module that it is.

import { execFile } from "node:child_process";
import { chmod, readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./steps.ts";

const run = promisify(execFile);

/** The first Go that switches to a newer toolchain by itself. */
const SELF_UPDATING = 21;
/** Files under these lose their execute bit in a module's archive. */
const PROGRAM_FOLDERS = [["bin"], ["pkg", "tool", `linux_${goArchitecture()}`]];

/**
 * Where `go` is to be looked for before PATH, as a folder.
 * @returns undefined when PATH's own will do, or has none and its user is told so later
 * @throws Error when the newer one cannot be downloaded
 */
export async function goDirectory(): Promise<string | undefined> {
  const version = await run("go", ["env", "GOVERSION"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  if (version === undefined) return undefined;
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1] ?? SELF_UPDATING);
  return minor >= SELF_UPDATING ? undefined : downloadGo();
}

async function downloadGo(): Promise<string> {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const module = `golang.org/toolchain@v0.0.1-go${await wantedGo()}.linux-${goArchitecture()}`;
  const env = { ...process.env, GOFLAGS: "", GOMODCACHE: join(cache, "innermesh", "go") };
  const { stdout } = await run("go", ["mod", "download", "-json", module], { env, cwd: "/" });
  const { Dir: top } = JSON.parse(stdout) as { readonly Dir: string };
  for (const folder of PROGRAM_FOLDERS) {
    const path = join(top, ...folder);
    for (const name of await readdir(path)) await chmod(join(path, name), 0o555);
  }
  return join(top, "bin");
}

/** The version that the real programs' go.mod asks for. */
async function wantedGo(): Promise<string> {
  const text = await readFile(join(ROOT, "test/cluster/kubernetes/go.mod"), "utf8");
  const version = /^go (\d+\.\d+\.\d+)$/m.exec(text)?.[1];
  if (version === undefined) throw new Error("Cannot find the Go version: go.mod names none");
  return version;
}

function goArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

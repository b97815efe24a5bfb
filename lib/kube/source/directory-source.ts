// The store, kept equal to a folder of YAML and JSON files: for hosts without a cluster, for
// tests in CI, and for the demo. What cannot be read keeps its last readable form.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../clock/clock.ts";
import type { Problem } from "../api/parsed.ts";
import type { KubeStore } from "../store.ts";
import type { WatchReport } from "../watch-report.ts";
import { POLICY_KINDS } from "./api-source.ts";
import { FolderWatch } from "./folder-watch.ts";
import { type ManifestOptions, problemAt, readManifest } from "./manifest-file.ts";
import { type FileState, mergeFiles, nextFileState } from "./manifest-set.ts";

export interface DirectorySourceOptions {
  /** The folder; it may come later than the source. Folders inside it are not read. */
  readonly path: string;
  /** Made for POLICY_KINDS or some of them. */
  readonly store: KubeStore;
  readonly clock: Clock;
  readonly nodeName: string;
  /** As for the API source. */
  readonly nodes?: "own" | "all";
  readonly signal: AbortSignal;
  readonly onEvent?: (report: WatchReport) => void;
  /** As for the API source. */
  readonly serviceProxyName?: string;
  /** How long a change may go unseen where the kernel gives no hint. @default 5000 */
  readonly pollMs?: number;
}

/** Rest after a hint: editors and copies touch a file several times. */
export const SETTLE_MS = 20;
/** Larger files are refused. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** A file changed this recently may change again without a newer timestamp. */
const RACY_MS = 2_000;

/** Fills the store until `signal` aborts. Never rejects. */
export async function runDirectorySource(options: DirectorySourceOptions): Promise<void> {
  const { clock, path, pollMs = 5_000, signal } = options;
  const folder = new Folder(options);
  const watch = new FolderWatch(path);
  while (!signal.aborted) {
    await watch.arm();
    await folder.scan();
    await watch.hint(clock, pollMs, signal);
    await clock.sleep(SETTLE_MS, signal);
  }
  watch.close();
}

interface KnownFile {
  /** Changes whenever the file does; "" when that cannot be relied on. */
  readonly stamp: string;
  readonly state: FileState;
}

class Folder {
  readonly #options: DirectorySourceOptions;
  readonly #manifestOptions: ManifestOptions;
  #files: ReadonlyMap<string, KnownFile> = new Map();

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    const { nodeName, nodes = "own", serviceProxyName } = options;
    this.#manifestOptions = { nodeName, nodes, serviceProxyName };
  }

  async scan(): Promise<void> {
    const { path, store } = this.#options;
    const subject = `folder ${path}`;
    let names: readonly string[];
    try {
      names = (await readdir(path)).filter(isManifestName);
    } catch (cause) {
      const message = `Cannot read it: ${cause instanceof Error ? cause.message : String(cause)}`;
      store.report(subject, [{ object: subject, field: "", message }]);
      return this.#tell("failed", message);
    }
    store.report(subject, []);
    const files = new Map<string, KnownFile>();
    for (const name of names) {
      const file = await this.#read(name);
      if (file !== undefined) files.set(name, file);
    }
    this.#apply(files);
    this.#tell("current");
  }

  /** The file as it is now; undefined when it is gone or no file. */
  async #read(name: string): Promise<KnownFile | undefined> {
    const path = join(this.#options.path, name);
    const known = this.#files.get(name);
    const failed = (why: string): KnownFile => {
      const problems = [problemAt(name, 1, "", why)];
      const state = nextFileState(known?.state, { kind: "broken", problems });
      return { stamp: "", state };
    };
    try {
      const info = await stat(path, { bigint: true });
      if (!info.isFile()) return undefined;
      const stamp = `${info.ino} ${info.size} ${info.mtimeNs} ${info.ctimeNs}`;
      if (known?.stamp === stamp) return known;
      if (info.size > MAX_FILE_BYTES) return failed(`it is larger than ${MAX_FILE_BYTES} bytes`);
      const manifest = readManifest(name, await readFile(path, "utf8"), this.#manifestOptions);
      const ageMs = Math.abs(this.#options.clock.wallMs() - Number(info.ctimeMs));
      const state = nextFileState(known?.state, manifest);
      return { stamp: ageMs < RACY_MS ? "" : stamp, state };
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
      return failed(cause instanceof Error ? cause.message : String(cause));
    }
  }

  #apply(files: ReadonlyMap<string, KnownFile>): void {
    const { store } = this.#options;
    const states = new Map([...files].map(([name, { state }]) => [name, state]));
    const { objects, problems } = mergeFiles(states);
    for (const kind of POLICY_KINDS) {
      store.replace(
        kind,
        objects.filter((object) => object.kind === kind),
      );
    }
    const none: readonly Problem[] = [];
    for (const name of new Set([...this.#files.keys(), ...files.keys()])) {
      store.report(`file ${name}`, problems.get(name) ?? none);
    }
    this.#files = files;
  }

  #tell(kind: WatchReport["kind"], why?: string): void {
    const { clock, onEvent } = this.#options;
    const atMs = clock.monotonicMs();
    for (const resource of POLICY_KINDS) {
      onEvent?.({ resource, kind, atMs, ...(why !== undefined && { why }) });
    }
  }
}

/** Hidden files are editors' and mounts' own. */
function isManifestName(name: string): boolean {
  return /^[^.].*\.(ya?ml|json)$/.test(name);
}

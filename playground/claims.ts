// Who owns which playground: symbolic links, because making one is atomic and carries a value.
//   im-1f3a  -> 4711:88123   prefix -> process id : its start time in ticks since boot
//   subnet-7 -> im-1f3a      198.18.7.0/24 -> prefix
// A claim outlives a crash of its owner; that is how leftovers are found.

import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";

import { PlaygroundError } from "./playground-error.ts";

const subnets = 256;

export class Claims {
  readonly #directory: string;

  /** @param directory made when missing; must not survive a reboot, as process ids do not */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** Claims a prefix for this process; false when it is claimed already, by whomever. */
  claimPrefix(prefix: string): boolean {
    return this.#link(prefix, `${process.pid}:${startTicks(process.pid)}`);
  }

  /** True while the process that claimed it lives. */
  ownerIsAlive(prefix: string): boolean {
    const [pid, ticks] = (this.#read(prefix) ?? "").split(":");
    return pid !== undefined && ticks !== undefined && startTicks(Number(pid)) === ticks;
  }

  /**
   * Claims a subnet that no other playground and no interface of this machine uses.
   * @param taken subnets that others than playgrounds use
   * @throws PlaygroundError `no-free-subnet`
   */
  claimSubnet(prefix: string, taken: ReadonlySet<number>): number {
    for (let subnet = 0; subnet < subnets; subnet++) {
      if (!taken.has(subnet) && this.#link(`subnet-${subnet}`, prefix)) return subnet;
    }
    throw new PlaygroundError(
      "no-free-subnet",
      `Cannot link playground "${prefix}" to the machine: all ${subnets} subnets are taken`,
    );
  }

  /** Prefixes that are claimed, living or dead. */
  prefixes(): string[] {
    return readdirSync(this.#directory).filter((name) => !name.startsWith("subnet-"));
  }

  /** Gives up a prefix and its subnets. The prefix goes last: until then a sweep finds the rest. */
  release(prefix: string): void {
    for (const name of readdirSync(this.#directory)) {
      if (name.startsWith("subnet-") && this.#read(name) === prefix) this.#unlink(name);
    }
    this.#unlink(prefix);
  }

  #link(name: string, value: string): boolean {
    try {
      symlinkSync(value, `${this.#directory}/${name}`);
      return true;
    } catch (error) {
      if (hasCode(error, "EEXIST")) return false;
      throw error;
    }
  }

  #read(name: string): string | undefined {
    try {
      return readlinkSync(`${this.#directory}/${name}`);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  #unlink(name: string): void {
    try {
      unlinkSync(`${this.#directory}/${name}`);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
}

/**
 * Start time of a process in clock ticks since boot; undefined when there is none, or only a
 * zombie whose parent has not noticed yet. See proc(5).
 */
function startTicks(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name may hold spaces and brackets, so count from behind its last bracket.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

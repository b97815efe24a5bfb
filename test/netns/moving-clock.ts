// Another time of day for one program and what it starts: libfaketime lies to them, and can be told
// another lie while they run. Elapsed time goes on as it does, as when somebody sets a clock.

import { rm, writeFile } from "node:fs/promises";

export class MovingClock {
  readonly #file: string;

  /** Use `make`. */
  constructor(file: string) {
    this.#file = file;
  }

  /** @param file to keep the offset in, which is as of `set` */
  static async make(file: string, offset: string): Promise<MovingClock> {
    const clock = new MovingClock(file);
    await clock.set(offset);
    return clock;
  }

  /** What a command has to begin with. */
  get prefix(): readonly string[] {
    return [
      "env",
      // $LIB is for the dynamic linker, which knows the machine's architecture.
      "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
      `FAKETIME_TIMESTAMP_FILE=${this.#file}`,
      "FAKETIME_NO_CACHE=1",
      "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ];
  }

  /** @param offset from the right time, as `+3d`, `-3d` or `+0` */
  async set(offset: string): Promise<void> {
    await writeFile(this.#file, offset);
  }

  /** Takes away what libfaketime needs and leaves behind, once a program has ended. */
  static async clean(pid: number): Promise<void> {
    const left = ["faketime_shm", "sem.faketime_sem"].map((name) => `/dev/shm/${name}_${pid}`);
    await Promise.all(left.map((file) => rm(file, { force: true })));
  }
}

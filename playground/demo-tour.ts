// How the tour looks: one line a step, what was seen beside it, counted to the end.

/** Where the tour is printed. */
export interface TourOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export class DemoTour {
  readonly #output: TourOutput;
  #steps = 0;
  #failed = 0;
  #shown: string | undefined;

  constructor(output: TourOutput) {
    this.#output = output;
  }

  title(text: string): void {
    const space = this.#steps === 0 ? "" : "\n";
    this.#output.write(`${space}${this.#paint("1", text)}\n\n`);
  }

  /**
   * Takes one step and prints what it saw, or why it did not see what it should.
   * @param look throws when the observation is not as claimed
   */
  async step(title: string, look: () => Promise<string>): Promise<void> {
    this.#steps++;
    this.#shown = undefined;
    try {
      const seen = await look();
      this.#output.write(`${this.#paint("32", "✔")} ${title}\n  ${this.#paint("2", seen)}\n`);
    } catch (error) {
      this.#failed++;
      const why = error instanceof Error ? error.message : String(error);
      this.#output.write(`${this.#paint("31", "✖")} ${title}\n  ${why}\n`);
    }
    if (this.#shown === undefined) return;
    const lines = (this.#shown as string).trimEnd().split("\n");
    for (const line of lines) this.#output.write(`    ${line}\n`);
  }

  /** Prints this text below the step that is being taken. */
  show(text: string): void {
    this.#shown = text;
  }

  /** @returns how many steps failed */
  end(): number {
    this.#output.write(`\ndemo: ${this.#steps} steps, ${this.#failed} failed\n`);
    return this.#failed;
  }

  #paint(code: string, text: string): string {
    return this.#output.isTTY === true ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

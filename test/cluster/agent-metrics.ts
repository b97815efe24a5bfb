// The numbers an agent tells about itself, read from its /metrics as Prometheus would.

import assert from "node:assert/strict";
import type { NodeProcess } from "../../playground/node-process.ts";

const METRICS_PORT = 10_249;
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;

/** One scrape. */
export class Metrics {
  readonly #samples: readonly {
    readonly name: string;
    readonly labels: string;
    readonly value: number;
  }[];

  /** Names of all series, also of those that count nothing yet. */
  readonly series: ReadonlySet<string>;

  /** @param text in Prometheus' text format */
  constructor(text: string) {
    const lines = text.split("\n");
    this.series = new Set(lines.flatMap((line) => /^# TYPE (\S+) /.exec(line)?.[1] ?? []));
    this.#samples = lines.flatMap((line) => {
      const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
      return name === undefined ? [] : [{ name, labels, value: Number(value) }];
    });
  }

  /**
   * Sum of the samples of a series whose labels hold these.
   * @returns NaN when there is no such sample
   */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const words = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const found = this.#samples.filter(
      (sample) => sample.name === name && words.every((word) => sample.labels.includes(word)),
    );
    return found.length === 0 ? NaN : found.reduce((total, { value }) => total + value, 0);
  }
}

export async function scrape(agent: NodeProcess): Promise<Metrics> {
  const { status, body } = await agent.get(METRICS_PORT, "/metrics");
  assert.equal(status, 200);
  return new Metrics(body);
}

// Subjects that are compared take turns: what else the machine does then hits all of them.

/**
 * Measures every subject in turn, round after round. Another one begins each round: none is always
 * the one that finds the caches warm.
 * @param measure `round` counts from 0
 * @returns what each subject gave, round by round
 */
export async function inTurns<Subject, Value>(
  subjects: readonly Subject[],
  rounds: number,
  measure: (subject: Subject, round: number) => Promise<Value>,
  signal: AbortSignal,
): Promise<ReadonlyMap<Subject, readonly Value[]>> {
  const values = new Map<Subject, Value[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    const first = round % subjects.length;
    for (const subject of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      signal.throwIfAborted();
      values.get(subject)?.push(await measure(subject, round));
    }
  }
  return values;
}

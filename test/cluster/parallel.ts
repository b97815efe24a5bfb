// Bounded parallel work.

/** Calls `action` with 0 to `count - 1`, `workers` calls at a time. The first rejection ends it. */
export async function inParallel(
  workers: number,
  count: number,
  action: (number: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const number = next;
      next += 1;
      try {
        await action(number);
      } catch (error) {
        next = count;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
}

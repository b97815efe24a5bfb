// Order of resourceVersions: decimal integers since Kubernetes 1.35's API promise, and in fact
// always with etcd. Compared without BigInt: this runs for every event.

const DECIMAL = /^(0|[1-9]\d*)$/;

/**
 * Says which of two versions is older.
 * @returns below 0 when `a` is older, 0 when equal, above 0 when newer; undefined when either is
 * no decimal integer (objects from files have ""), so nothing can be said
 */
export function compareResourceVersions(a: string, b: string): number | undefined {
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) return undefined;
  if (a.length !== b.length) return a.length - b.length;
  return a === b ? 0 : a < b ? -1 : 1;
}

/** True when both are readable and `a` is strictly older than `b`. */
export function isOlder(a: string, b: string): boolean {
  const order = compareResourceVersions(a, b);
  return order !== undefined && order < 0;
}

// Parts of route rules, shortened: what the tables of the route tests are written in.

export type Json = Readonly<Record<string, unknown>>;

/** A rule for one match, several, or everything, that sends to a Service of `shop`. */
export function rule(match: Json | readonly Json[] | undefined, to: string, more: Json = {}): Json {
  const matches = match === undefined ? {} : { matches: [match].flat() };
  return { ...matches, backendRefs: [{ name: to, port: 80 }], ...more };
}

/** A match by path. */
export function path(value: string, type = "PathPrefix"): Json {
  return { path: { type, value } };
}

/** The part of a rule that says which paths it is for. */
export function below(prefix: string): Json {
  return { matches: [path(prefix)] };
}

/** A rule for everything that shares it out. */
export function weighted(...weights: readonly (readonly [name: string, weight: number])[]): Json {
  return { backendRefs: weights.map(([name, weight]) => ({ name, port: 80, weight })) };
}

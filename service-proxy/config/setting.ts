// What one setting is. The table of all settings drives flag parsing, the configuration file, the
// help text and docs/flags.md, so that they cannot disagree.

import type { ValueType } from "./value-type.ts";

interface Row<T> {
  /** Without dashes: `proxy-mode`. */
  readonly flag?: string;
  /** Path in KubeProxyConfiguration v1alpha1: `conntrack.min`. */
  readonly field?: string;
  /** Path in NodeConfiguration innermesh.io/v1alpha1. */
  readonly nodeField?: string;
  readonly type: ValueType<T>;
  readonly default: NoInfer<T>;
  /** Shown in place of the default when that is worked out later, e.g. `hostname`. */
  readonly defaultNote?: string;
  readonly help: string;
  /** The flag counts even beside `--config`, and then wins over the file. */
  readonly besideConfig?: true;
  /** A zero in the file means "not set", as in kube-proxy's files. */
  readonly zeroIsUnset?: true;
}

/**
 * `supported` does what it says; `ignored` is taken in silence because nothing is lost; `warn` is
 * taken, but a value other than the default gets a warning with the reason.
 */
export type Setting<T> = Row<T> &
  (
    | { readonly status: "supported" }
    | { readonly status: "ignored" | "warn"; readonly why: string }
  );

export function supported<T>(row: Row<T>): Setting<T> {
  return { ...row, status: "supported" };
}

/** @param why a sentence for docs and help: what happens instead */
export function ignored<T>(why: string, row: Row<T>): Setting<T> {
  return { ...row, status: "ignored", why };
}

/** @param why a sentence that follows the setting's name: why it has no effect and what to do */
export function declined<T>(why: string, row: Row<T>): Setting<T> {
  return { ...row, status: "warn", why };
}

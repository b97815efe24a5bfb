// What reading one API object can end in. Parsers are total: they never throw, and one bad field
// costs no more than what depends on it.

/** A cluster-wide key: `namespace/name`, or `name` for cluster-scoped kinds. */
export type ObjectKey = string;

/** Something that could not be read: what, where in it, and how to mend it. */
export interface Problem {
  /** e.g. `Service default/web` or `file services.yaml:12` */
  readonly object: string;
  /** e.g. `spec.ports[0].port` */
  readonly field: string;
  readonly message: string;
}

/** Why a well-formed object is none of ours. */
export type IgnoredBecause =
  | "headless"
  | "external-name"
  | "no-cluster-ip"
  | "fqdn"
  | "no-service-name";

/** The object is well-formed but nothing here serves it. */
export interface Ignored {
  readonly kind: "ignored";
  readonly key: ObjectKey;
  readonly why: IgnoredBecause;
}

/** The object cannot be read; whoever stores objects keeps its last readable form. */
export interface Invalid {
  readonly kind: "invalid";
  /** e.g. `Service default/web` */
  readonly subject: string;
  /** Undefined when not even the name can be read. */
  readonly key: ObjectKey | undefined;
  readonly problems: readonly Problem[];
}

export type Parsed<T> =
  | { readonly kind: "ok"; readonly object: T; readonly problems: readonly Problem[] }
  | Ignored
  | Invalid;

// A manifest before it is text: an object for one file, and the reasons that stand in the file as
// comments.

export interface Manifest {
  /** File name, in kebab-case and without its ending. */
  readonly name: string;
  readonly object: ManifestObject;
  /** Comments by the dotted path of the field that they stand above, e.g. `spec.template`. */
  readonly comments: Readonly<Record<string, string>>;
  /** Helm renders the file only when this value is not empty; kustomize's base lacks it. */
  readonly onlyWith?: string;
}

export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

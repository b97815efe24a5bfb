// HTTP messages as every version and every part of the proxy sees them (RFC 9110). Values only.

/**
 * Field lines, flat: name, value, name, value … in the order received. Names are lower-case; values
 * are latin1 without blanks around them. Pseudo-fields of HTTP/2 never stand here.
 */
export type FieldLines = readonly string[];

/** The head of a request. What is authorised and routed by is exactly what is forwarded. */
export interface RequestHead {
  readonly method: string;
  /** `:authority`, else Host; empty when an HTTP/1.0 client sent none. As received. */
  readonly authority: string;
  /** Path and query in origin-form, as received; `*` for OPTIONS; empty for CONNECT. */
  readonly path: string;
  /** `:protocol` of an extended CONNECT (RFC 8441), or the value of an HTTP/1.1 Upgrade. */
  readonly upgrade?: string;
  /** Without Host. */
  readonly fields: FieldLines;
}

/** The head of a response, interim ones (1xx) included. */
export interface ResponseHead {
  readonly status: number;
  readonly fields: FieldLines;
}

/** The first value of a field, by lower-case name. */
export function fieldValue(fields: FieldLines, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

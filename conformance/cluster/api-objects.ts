// The API's objects as plain data: the client library declares classes, but what travels and what
// cases write are objects without a prototype of their own.

import type {
  V1Endpoint,
  V1EndpointSlice,
  V1Pod,
  V1Service,
  V1ServicePort,
  V1ServiceSpec,
} from "@kubernetes/client-node";

/** A class of the client library as the data it describes, all the way down. */
export type Plain<T> = T extends Date
  ? Date
  : T extends readonly (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

export type Service = Plain<V1Service>;
export type ServiceSpec = Plain<V1ServiceSpec>;
export type ServicePort = Plain<V1ServicePort>;
export type EndpointSlice = Plain<V1EndpointSlice>;
export type Endpoint = Plain<V1Endpoint>;
export type EndpointConditions = NonNullable<Endpoint["conditions"]>;
export type EndpointHints = NonNullable<Endpoint["hints"]>;
export type Pod = Plain<V1Pod>;

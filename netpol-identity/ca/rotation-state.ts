// What an authority remembers between starts: a value that lives as JSON in its Secret. It is
// always written before it is used, and only over the version that it was made from.

import type { AuthorityMaterial } from "./root-material.ts";

export interface StateMaterial extends AuthorityMaterial {
  /** Which wish for a root of our own it fulfils; missing on what a user supplied. */
  readonly generation?: number;
}

export interface AuthorityRoot {
  readonly pem: string;
  /** When the state first had it: agents learn of it a little later. */
  readonly addedMs: number;
  /** When the last leaf of a former signer below it ends; missing while there was none. */
  readonly retiredMs?: number;
}

export interface AuthorityState {
  /** Grows by one with every change. Whoever holds a lower one has lost, and reads again. */
  readonly version: number;
  readonly trustDomain: string;
  /** What signs. */
  readonly active: StateMaterial;
  /** No leaf that `active` signed lives longer. */
  readonly leafLifetimeMs: number;
  /** What will sign, once all agents trust its roots. */
  readonly next?: StateMaterial;
  /** The bundle, oldest first. */
  readonly roots: readonly AuthorityRoot[];
}

/** The state as the text of a Secret: it holds the private key. */
export function formatAuthorityState(state: AuthorityState): string {
  return JSON.stringify(state);
}

/** Undefined unless the text is a state. Does not judge certificates. Never throws. */
export function parseAuthorityState(text: string): AuthorityState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isState(value) ? value : undefined;
}

function isState(value: unknown): value is AuthorityState {
  return (
    isRecord(value) &&
    isCount(value["version"]) &&
    typeof value["trustDomain"] === "string" &&
    isMaterial(value["active"]) &&
    isCount(value["leafLifetimeMs"]) &&
    (value["next"] === undefined || isMaterial(value["next"])) &&
    isListOf(value["roots"], isRoot)
  );
}

function isMaterial(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value["certificate"] === "string" &&
    typeof value["key"] === "string" &&
    isListOf(value["roots"], (root) => typeof root === "string") &&
    (value["generation"] === undefined || isCount(value["generation"]))
  );
}

function isRoot(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value["pem"] === "string" &&
    isCount(value["addedMs"]) &&
    (value["retiredMs"] === undefined || isCount(value["retiredMs"]))
  );
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isItem);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

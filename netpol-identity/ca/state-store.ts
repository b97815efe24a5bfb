// The CA's objects in the API server, each read and written in one place: the state with its key,
// the bundle, what a user supplied, and the bans.

import { asRecord, type JsonRecord, textRecord } from "../../lib/kube/api/fields.ts";
import type { WriteOptions } from "../../lib/kube/client.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";
import { parsePublished } from "./bundle-document.ts";
import { parseBans } from "./ca-bans.ts";
import { CA_OBJECTS, type CaSettings } from "./ca-settings.ts";
import type { SuppliedMaterial } from "./root-supplied.ts";
import type { PublishedBundle } from "./rotation-recovery.ts";
import {
  type AuthorityState,
  formatAuthorityState,
  parseAuthorityState,
} from "./rotation-state.ts";
import { type ObjectClient, StateObject } from "./state-object.ts";
import { readSuppliedFiles } from "./supplied-files.ts";

const STATE_KEY = "state.json";

/** The Secret holds something that is no state. To be mended by hand: a key may be in it. */
export class StateUnreadableError extends Error {
  override readonly name = "StateUnreadableError";
  readonly code = "STATE_UNREADABLE";
}

/** One look at everything. */
export interface CaObjects {
  readonly published: PublishedBundle | undefined;
  /** Undefined: there is no such Secret. */
  readonly secret: JsonRecord | undefined;
  readonly stored: AuthorityState | undefined;
  /** Undefined: there is no such Secret, and nothing in the directory. */
  readonly supplied: SuppliedMaterial | undefined;
  readonly bans: readonly NodeBan[];
}

export class StateStore {
  readonly #namespace: string;
  readonly #trustDomain: string;
  readonly #secret: StateObject;
  readonly #supplied: StateObject;
  readonly #bundle: StateObject;
  readonly #bans: StateObject;
  readonly #suppliedDirectory: string | undefined;

  constructor(
    client: ObjectClient,
    {
      namespace,
      trustDomain,
      suppliedDirectory,
    }: Pick<CaSettings, "namespace" | "trustDomain" | "suppliedDirectory">,
  ) {
    const at = (plural: string, name: string): StateObject =>
      new StateObject({ client, collection: `/api/v1/namespaces/${namespace}/${plural}`, name });
    this.#namespace = namespace;
    this.#trustDomain = trustDomain;
    this.#suppliedDirectory = suppliedDirectory;
    this.#secret = at("secrets", CA_OBJECTS.state);
    this.#supplied = at("secrets", CA_OBJECTS.supplied);
    this.#bundle = at("configmaps", CA_OBJECTS.bundle);
    this.#bans = at("configmaps", CA_OBJECTS.bans);
  }

  /** @throws KubeApiError, StateUnreadableError */
  async read(signal: AbortSignal): Promise<CaObjects> {
    // The bundle first: what it was published from is then no newer than the state read after it.
    const bundle = await this.#bundle.read(signal);
    const published = parsePublished(bundle, this.#trustDomain);
    const [secret, supplied, bans] = await Promise.all([
      this.#secret.read(signal),
      this.#readSupplied(signal),
      this.#bans.read(signal),
    ]);
    return {
      published,
      secret,
      stored: secret === undefined ? undefined : stateOf(secret),
      supplied,
      bans: parseBans(bans),
    };
  }

  async #readSupplied(signal: AbortSignal): Promise<SuppliedMaterial | undefined> {
    if (this.#suppliedDirectory !== undefined) return readSuppliedFiles(this.#suppliedDirectory);
    const secret = await this.#supplied.read(signal);
    return secret === undefined ? undefined : suppliedOf(secret);
  }

  /**
   * Writes a state over the Secret that was read.
   * @param before undefined: there was none
   * @returns the Secret as it is now; undefined when another replica was first: read again
   * @throws KubeApiError
   */
  write(
    before: JsonRecord | undefined,
    state: AuthorityState,
    options: WriteOptions,
  ): Promise<JsonRecord | undefined> {
    const place = { namespace: this.#namespace, name: CA_OBJECTS.state };
    const metadata = before === undefined ? place : asRecord(before["metadata"]);
    const text = Buffer.from(formatAuthorityState(state)).toString("base64");
    const data = { ...textRecord(before?.["data"]), [STATE_KEY]: text };
    const secret = { apiVersion: "v1", kind: "Secret", type: "Opaque", metadata, data };
    return this.#secret.write(before, secret, options);
  }
}

function stateOf(secret: JsonRecord): AuthorityState {
  const state = parseAuthorityState(secretText(secret, STATE_KEY) ?? "");
  if (state !== undefined) return state;
  throw new StateUnreadableError(
    `Cannot use Secret "${CA_OBJECTS.state}": "${STATE_KEY}" is missing or of an unknown form; ` +
      "restore it, or delete the Secret to go on with a new root beside the old ones",
  );
}

function suppliedOf(secret: JsonRecord): SuppliedMaterial {
  const field = (key: "tls.crt" | "tls.key" | "ca.crt"): SuppliedMaterial => {
    const text = secretText(secret, key);
    return text === undefined ? {} : { [key]: text };
  };
  return { ...field("tls.crt"), ...field("tls.key"), ...field("ca.crt") };
}

/** Values of a Secret are base64. */
function secretText(secret: JsonRecord, key: string): string | undefined {
  const value = asRecord(secret["data"])[key];
  return typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : undefined;
}

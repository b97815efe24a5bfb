// One object of the API server that several replicas read and write: every write says which version
// it replaces, and who comes second is told so and reads again.

import { asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { KubeClient, WriteOptions } from "../../lib/kube/client.ts";
import { KubeApiError } from "../../lib/kube/kube-api-error.ts";

export type ObjectClient = Pick<KubeClient, "getJson" | "create" | "replace">;

export interface StateObjectOptions {
  readonly client: ObjectClient;
  /** e.g. `/api/v1/namespaces/innermesh-system/secrets` */
  readonly collection: string;
  readonly name: string;
}

export class StateObject {
  readonly name: string;
  readonly #client: ObjectClient;
  readonly #collection: string;

  constructor({ client, collection, name }: StateObjectOptions) {
    this.name = name;
    this.#client = client;
    this.#collection = collection;
  }

  /** Undefined when it does not exist. @throws KubeApiError when there is no answer */
  read(signal: AbortSignal): Promise<JsonRecord | undefined> {
    const path = `${this.#collection}/${this.name}`;
    return unless([404], this.#client.getJson(path, { signal }));
  }

  /**
   * Creates it, or replaces the version that `before` is.
   * @param before as read; undefined: it does not exist
   * @returns what is stored now; undefined when someone else was first: read again
   * @throws KubeApiError when the write failed in another way
   */
  write(
    before: JsonRecord | undefined,
    object: JsonRecord,
    options: WriteOptions,
  ): Promise<JsonRecord | undefined> {
    if (before === undefined) {
      return unless([409], this.#client.create(this.#collection, object, options));
    }
    const metadata = { ...asRecord(object["metadata"]), resourceVersion: versionOf(before) };
    const path = `${this.#collection}/${this.name}`;
    return unless([404, 409], this.#client.replace(path, { ...object, metadata }, options));
  }
}

function versionOf(object: JsonRecord): string {
  return asText(asRecord(object["metadata"])["resourceVersion"]);
}

async function unless(
  codes: readonly number[],
  answer: Promise<unknown>,
): Promise<JsonRecord | undefined> {
  try {
    return asRecord(await answer);
  } catch (error) {
    if (error instanceof KubeApiError && codes.some((code) => error.code === code)) {
      return undefined;
    }
    throw error;
  }
}

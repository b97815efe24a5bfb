// What the tests ask of etcd itself, through its JSON gateway: to forget history, and to take
// objects faster than an API server writes them.

/** Where a Kubernetes object lies in etcd, e.g. `/registry/services/specs/default/web`. */
export type EtcdKey = string;

/** Reading JSON is part of an API server's storage format, though it writes protobuf itself. */
export interface EtcdObject {
  readonly key: EtcdKey;
  readonly object: object;
}

export class EtcdClient {
  readonly #url: string;

  /** @param url e.g. `http://127.0.0.1:2379` */
  constructor(url: string) {
    this.#url = url;
  }

  /** Forgets every revision but the newest, on disk too, before it returns. */
  async compact(): Promise<void> {
    const status = await this.#post<{ header: { revision: string } }>("/v3/maintenance/status", {});
    const { revision } = status.header;
    await this.#post("/v3/kv/compaction", { revision, physical: true });
  }

  /**
   * Creates objects in one transaction. They share one revision, so at most one of each kind: a
   * watch that resumes after a revision would miss the others.
   * @throws when one of the keys is taken; then nothing is written
   */
  async create(objects: readonly EtcdObject[]): Promise<void> {
    const answer = await this.#post<{ succeeded?: boolean }>("/v3/kv/txn", {
      compare: objects.map(({ key }) => ({
        key: base64(key),
        target: "CREATE",
        result: "EQUAL",
        create_revision: "0",
      })),
      success: objects.map(({ key, object }) => ({
        request_put: { key: base64(key), value: base64(JSON.stringify(object)) },
      })),
    });
    if (answer.succeeded === true) return;
    throw new Error(`Cannot create ${objects.map(({ key }) => key).join(", ")}: one exists`);
  }

  async #post<Answer>(path: string, body: unknown): Promise<Answer> {
    const response = await fetch(this.#url + path, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`Cannot POST ${path}: etcd says ${response.status} ${text}`);
    return JSON.parse(text) as Answer;
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

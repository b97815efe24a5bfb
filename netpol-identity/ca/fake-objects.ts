// An API server's door for the CA's tests: objects by path with versions and conflicts, and reviews
// of the tokens that a test knows.

import { asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { KubeClient, WriteOptions } from "../../lib/kube/client.ts";
import { KubeApiError } from "../../lib/kube/kube-api-error.ts";
import type { ReviewedUser } from "../../lib/kube/token-review.ts";

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";

export class FakeObjects implements Pick<KubeClient, "getJson" | "create" | "replace"> {
  readonly #objects = new Map<string, JsonRecord>();
  #version = 0;
  /** By token; missing: not authenticated. */
  readonly users = new Map<string, ReviewedUser>();
  reviews = 0;
  /** Set: every call fails so. */
  failure: { readonly code: number } | undefined;

  get(path: string): JsonRecord | undefined {
    return this.#objects.get(path);
  }

  put(path: string, object: JsonRecord): JsonRecord {
    this.#version += 1;
    const metadata = { ...asRecord(object["metadata"]), resourceVersion: `${this.#version}` };
    const stored = { ...object, metadata };
    this.#objects.set(path, stored);
    return stored;
  }

  remove(path: string): void {
    this.#objects.delete(path);
  }

  /** @param text values of a Secret's `data`, which are base64 there */
  putSecret(path: string, text: Readonly<Record<string, string>>): void {
    const encode = (value: string): string => Buffer.from(value).toString("base64");
    const data = Object.entries(text).map(([key, value]) => [key, encode(value)]);
    this.put(path, { kind: "Secret", data: Object.fromEntries(data) });
  }

  async getJson(path: string): Promise<unknown> {
    this.#check();
    return this.#objects.get(path) ?? this.#fail(404);
  }

  async create(collection: string, value: unknown, options: WriteOptions): Promise<unknown> {
    this.#check(options);
    if (collection === REVIEWS) return this.#review(asRecord(value));
    const object = asRecord(value);
    const path = `${collection}/${asText(asRecord(object["metadata"])["name"])}`;
    return this.#objects.has(path) ? this.#fail(409) : this.put(path, object);
  }

  async replace(path: string, value: unknown, options: WriteOptions): Promise<unknown> {
    this.#check(options);
    const object = asRecord(value);
    const before = this.#objects.get(path) ?? this.#fail(404);
    const versions = [before, object].map((one) => asRecord(one["metadata"])["resourceVersion"]);
    return versions[0] === versions[1] ? this.put(path, object) : this.#fail(409);
  }

  #review(value: JsonRecord): unknown {
    this.reviews += 1;
    const user = this.users.get(asText(asRecord(value["spec"])["token"]));
    if (user === undefined) return { status: { error: "unknown token" } };
    const extra = Object.fromEntries(
      Object.entries({
        "pod-name": user.podName,
        "pod-uid": user.podUid,
        "node-name": user.nodeName,
      }).map(([key, text]) => [`authentication.kubernetes.io/${key}`, [text]]),
    );
    const { username, audiences } = user;
    return { status: { authenticated: true, user: { username, extra }, audiences } };
  }

  #check(options?: WriteOptions): void {
    if (this.failure !== undefined) this.#fail(this.failure.code);
    if (options?.permit?.() === false) this.#fail(403);
  }

  #fail(code: number): never {
    throw new KubeApiError(`Cannot go on: fake says ${code}`, { code, reason: "Fake" });
  }
}

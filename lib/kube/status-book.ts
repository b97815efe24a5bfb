// The statuses of objects as they are on the server, for whoever writes them. Kept beside the
// store and not in it: nodes watch the same objects and have no use for their statuses.

import { asRecord, asText } from "./api/fields.ts";
import type { WatchedResource } from "./resource-sink.ts";
import { type StatusTarget, statusTargetOf } from "./status-writer.ts";

export class StatusBook {
  /** By the parsed object: forgotten when the store forgets it. */
  readonly #targets = new WeakMap<object, StatusTarget>();
  readonly #listeners = new Set<() => void>();

  /** The same resource, with the status of everything that is read from it noted here. */
  noting(resource: WatchedResource): WatchedResource {
    return {
      ...resource,
      parse: (value) => {
        const parsed = resource.parse(value);
        if (parsed.kind === "ok") {
          this.#targets.set(parsed.object, statusTargetOf(pathOf(resource.path, value), value));
          for (const listener of this.#listeners) listener();
        }
        return parsed;
      },
    };
  }

  /**
   * Calls `listener` right before an object reaches the store: the store itself does not tell of
   * changes in what it does not read.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The status of an object that a noted resource brought. */
  of(object: object): StatusTarget | undefined {
    return this.#targets.get(object);
  }
}

/** `/apis/g/v1/webs` and an object of namespace a → `/apis/g/v1/namespaces/a/webs/name`. */
function pathOf(collection: string, value: unknown): string {
  const { namespace, name } = asRecord(asRecord(value)["metadata"]);
  const end = collection.lastIndexOf("/");
  const scope = asText(namespace) === "" ? "" : `/namespaces/${asText(namespace)}`;
  return `${collection.slice(0, end)}${scope}${collection.slice(end)}/${asText(name)}`;
}

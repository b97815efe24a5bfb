// The addresses of all nodes, for the one question whether a Service claims one of them. Watching
// every Node would cost each agent every kubelet's heartbeat; the server's printed table of them
// is some 200 bytes a node and is asked for seldom.

import type { Clock } from "../clock/clock.ts";
import { type RetryBounds, retryDelayMs } from "../clock/retry-delay.ts";
import { type Address, parseAddress } from "../ip/address.ts";
import { isRecord } from "./api/fields.ts";
import type { KubeClient } from "./client.ts";

export interface NodeAddressBook {
  /** InternalIP and ExternalIP as the table prints them: one of each a node. */
  current(): readonly Address[];
  onChange(listener: () => void): () => void;
  /** Resolves after the first answer, or when it failed or took too long; never rejects. */
  readonly opened: Promise<void>;
}

export interface NodeAddressBookOptions {
  readonly client: Pick<KubeClient, "getJson">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** Whether anybody claims an address from outside; nothing is asked again while nobody does. */
  readonly isNeeded: () => boolean;
  readonly onError: (error: unknown) => void;
}

const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";
const QUERY = { includeObject: "None", resourceVersion: "0" };
const OPEN_WITHIN_MS = 5_000;
const RENEW_MS = 300_000;
const RETRY: RetryBounds = { minMs: 1_000, maxMs: 60_000 };

/** Opens the book and keeps it until `signal` aborts. */
export function openNodeAddressBook(options: NodeAddressBookOptions): NodeAddressBook {
  const { clock, random, signal } = options;
  const listeners = new Set<() => void>();
  let addresses: readonly Address[] = [];
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const take = (next: readonly Address[]): void => {
    const changed = next.join() !== addresses.join();
    addresses = next;
    if (changed) for (const listener of listeners) listener();
  };
  const keep = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted; ) {
      const found = await ask(options);
      open();
      if (found === undefined) {
        await clock.sleep(retryDelayMs(RETRY, failures++, random()), signal);
        continue;
      }
      failures = 0;
      take(found);
      do {
        await clock.sleep(RENEW_MS * (0.8 + 0.4 * random()), signal);
      } while (!options.isNeeded() && !signal.aborted);
    }
  };
  const late = clock.sleep(OPEN_WITHIN_MS, signal).then(open);
  Promise.all([keep(), late]).catch(options.onError);
  return {
    current: () => addresses,
    opened,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Reads a printed table of nodes (meta/v1 Table); undefined when it is none. Never throws. */
export function parseNodeTable(value: unknown): readonly Address[] | undefined {
  if (!isRecord(value) || !Array.isArray(value["columnDefinitions"])) return undefined;
  const columns = value["columnDefinitions"].map((c: unknown) => isRecord(c) && c["name"]);
  const wanted = ["Internal-IP", "External-IP"].map((name) => columns.indexOf(name));
  if (!wanted.includes(-1) && Array.isArray(value["rows"])) {
    const addresses = value["rows"].flatMap((row: unknown) => {
      const cells = isRecord(row) && Array.isArray(row["cells"]) ? row["cells"] : [];
      return wanted.map((index) => parseAddress(cells[index])).filter((a) => a !== undefined);
    });
    return [...new Set(addresses)].sort();
  }
  return undefined;
}

async function ask({
  client,
  signal,
  onError,
}: NodeAddressBookOptions): Promise<readonly Address[] | undefined> {
  try {
    const table = await client.getJson("/api/v1/nodes", { query: QUERY, accept: TABLE, signal });
    const addresses = parseNodeTable(table);
    if (addresses === undefined) onError(new Error("Cannot read the table of nodes: no addresses"));
    return addresses;
  } catch (error) {
    if (!signal.aborted) onError(error);
    return undefined;
  }
}

// Who may have a token reviewed, which costs the API server a call: tokens that were refused are
// charged to an address. A node's agent has its address in common with pods of its host's network,
// so what strangers there are charged must not be the agent's.

import type { Clock } from "../../lib/clock/clock.ts";
import { KeyedBuckets, MAX_BUCKETS } from "../../lib/clock/keyed-buckets.ts";
import { asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { CallerRules } from "./caller.ts";
import { tokenHash } from "./caller-review.ts";

/** Tokens that no API server knows cost it a review each. */
export const FAILURE_LIMIT = { burst: 20, perSecond: 1 } as const;
/** What a server that listens for both families puts before IPv4. */
const MAPPED = /^::ffff:(?=[\d.]+$)/;

export interface CallerLimitOptions {
  readonly accounts: CallerRules["accounts"];
  /** All pods of the cluster by `namespace/name`. */
  readonly pods: () => ReadonlyMap<string, Pod>;
  readonly clock: Clock;
}

/** What became of a review: of a caller, of nobody, or there was none. */
export type ReviewOutcome = "accepted" | "refused" | "unanswered";

export class CallerLimit {
  readonly #options: CallerLimitOptions;
  readonly #failures: KeyedBuckets;
  /** Hashes of tokens that were accepted when shown last; the one shown last comes last. */
  readonly #accepted = new Set<string>();

  constructor(options: CallerLimitOptions) {
    const { clock } = options;
    this.#options = options;
    this.#failures = new KeyedBuckets({ ...FAILURE_LIMIT, nowMs: () => clock.monotonicMs() });
  }

  /**
   * Whether a token may be reviewed now. That is paid for beforehand, since many may be asked for
   * at once, but not for a token that was good so far.
   * @param isFree it is being reviewed already, or was a moment ago
   * @returns to be told the outcome; undefined when too many were refused
   */
  admit(token: string, peer: string, isFree: boolean): ((o: ReviewOutcome) => void) | undefined {
    const hash = tokenHash(token);
    const payer = this.#payerOf(token, peer.replace(MAPPED, ""));
    const owes = !isFree && !this.#accepted.has(hash);
    if (owes ? !this.#failures.take(payer) : !this.#mayGoOn(hash, payer)) return undefined;
    return (outcome) => {
      if (outcome === "refused") {
        this.#accepted.delete(hash);
        if (!owes) this.#failures.take(payer);
        return;
      }
      if (owes) this.#failures.give(payer);
      if (outcome === "accepted") this.#remember(hash);
    };
  }

  #mayGoOn(hash: string, payer: string): boolean {
    return this.#accepted.has(hash) || !this.#failures.isEmpty(payer);
  }

  #remember(hash: string): void {
    this.#accepted.delete(hash);
    this.#accepted.add(hash);
    const [oldest] = this.#accepted;
    if (this.#accepted.size > MAX_BUCKETS && oldest !== undefined) this.#accepted.delete(oldest);
  }

  /**
   * The agent that a token names, if it is at this address: an agent that starts, or whose token
   * was replaced, is not known yet. It proves nothing, but a stranger at the address would have to
   * know the UID of the agent's pod to spend what is the agent's.
   */
  #payerOf(token: string, peer: string): string {
    const { accounts, pods } = this.#options;
    const { namespace, pod: named } = asRecord(claimsOf(token)["kubernetes.io"]);
    const { name, uid } = asRecord(named);
    const pod = pods().get(`${asText(namespace)}/${asText(name)}`);
    if (pod === undefined || pod.uid !== uid || !pod.addresses.includes(peer)) return peer;
    return accounts.includes(`${pod.namespace}/${pod.serviceAccount}`) ? pod.uid : peer;
  }
}

/** What a JWT says of itself, unproven; nothing when it is none. */
function claimsOf(token: string): JsonRecord {
  try {
    const [, claims = ""] = token.split(".");
    return asRecord(JSON.parse(Buffer.from(claims, "base64url").toString("utf8")));
  } catch {
    return {};
  }
}

// What a worker knows of identities: the plan so far, as the data path asks for it.

import { X509Certificate } from "node:crypto";
import type { Address } from "../../lib/ip/address.ts";
import { decodePem } from "../../lib/x509/pem.ts";
import type {
  NodeBan,
  SpiffeUri,
  TunnelCredential,
  TunnelPeer,
  TunnelPlanDelta,
  TunnelWorkload,
} from "../model/tunnel-plan.ts";

export class TunnelTables {
  readonly #roots = new Map<string, readonly string[]>();
  readonly #bundles = new Map<string, readonly X509Certificate[]>();
  readonly #credentials = new Map<SpiffeUri, TunnelCredential>();
  readonly #workloads = new Map<Address, TunnelWorkload>();
  readonly #peers = new Map<Address, TunnelPeer>();
  #host: TunnelWorkload | undefined;
  #bans: readonly NodeBan[] = [];
  #anchors: readonly string[] = [];

  apply(delta: TunnelPlanDelta): void {
    for (const [trustDomain, roots] of delta.bundles) {
      set(this.#roots, trustDomain, roots);
      set(this.#bundles, trustDomain, roots === null ? null : readCertificates(roots));
    }
    if (delta.bundles.length > 0) this.#anchors = [...this.#roots.values()].flat();
    for (const [identity, credential] of delta.credentials) {
      set(this.#credentials, identity, credential);
    }
    for (const [address, workload] of delta.workloads) set(this.#workloads, address, workload);
    for (const [address, peer] of delta.peers) set(this.#peers, address, peer);
    if (delta.host !== undefined) this.#host = delta.host ?? undefined;
    this.#bans = delta.bans ?? this.#bans;
  }

  /** Roots by trust domain. */
  get bundles(): ReadonlyMap<string, readonly X509Certificate[]> {
    return this.#bundles;
  }

  /** Roots of all trust domains, PEM; another array when they changed. */
  get anchors(): readonly string[] {
    return this.#anchors;
  }

  /** Another object when it was renewed. */
  credential(identity: SpiffeUri): TunnelCredential | undefined {
    return this.#credentials.get(identity);
  }

  /** The enrolled pod of this node at an address. */
  workload(address: Address): TunnelWorkload | undefined {
    return this.#workloads.get(address);
  }

  /** What processes of this node itself are. */
  get host(): TunnelWorkload | undefined {
    return this.#host;
  }

  /** The enrolled pod elsewhere at an address. */
  peer(address: Address): TunnelPeer | undefined {
    return this.#peers.get(address);
  }

  isBanned(node: string, issuedMs: number): boolean {
    return this.#bans.some((ban) => ban.node === node && issuedMs <= ban.untilMs);
  }
}

function set<K, V>(map: Map<K, V>, key: K, value: V | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}

/** What cannot be read vouches for nobody. */
function readCertificates(roots: readonly string[]): readonly X509Certificate[] {
  return roots.flatMap(decodePem).flatMap((der) => {
    try {
      return [new X509Certificate(der)];
    } catch {
      return [];
    }
  });
}

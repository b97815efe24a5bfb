// A node that signs for itself, with what a directory holds: for hosts without an API server, and
// for demonstrations. Whoever reads the directory can be anybody, so it is root's alone.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { BACKDATED_MS } from "../../lib/x509/certificate.ts";
import { decodeCsr } from "../../lib/x509/csr.ts";
import { parseSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { CertificateAuthority } from "../ca/authority.ts";
import { readMaterial, type SuppliedMaterial } from "../ca/root-supplied.ts";
import { NO_TRUST, parseTrust, rootsKey, type Trust } from "../model/trust.ts";
import type { Sign } from "./key-keeper.ts";
import type { TrustSource } from "./trust-watch.ts";

export interface LocalAuthorityParts {
  /** Holds tls.crt and tls.key, as cert-manager writes them, and ca.crt with all roots. */
  readonly directory: string;
  readonly trustDomain: string;
  /** Written into every certificate. */
  readonly nodeName: string;
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const REREAD_MS = 1_000;

interface Material extends Required<SuppliedMaterial> {
  /** Other trust domains and bans, as a published bundle has them. May be missing. */
  readonly others: string;
}

export interface LocalAuthority extends TrustSource {
  readonly sign: Sign;
}

/** Reads the directory, again and again until `signal` aborts. */
export async function openLocalAuthority(
  parts: LocalAuthorityParts,
  signal: AbortSignal,
): Promise<LocalAuthority> {
  const { directory, trustDomain, nodeName, lifetimeMs, clock, log } = parts;
  const listeners = new Set<() => void>();
  let material: Material | undefined;
  let trust: Trust = NO_TRUST;
  let authority: CertificateAuthority | undefined;
  const setBacks = new SetBacks(clock);
  const reread = async (): Promise<void> => {
    const read = await readDirectory(directory);
    if (isDeepStrictEqual(read, material)) return;
    const checked = readMaterial(read, { trustDomain, nowMs: clock.wallMs() });
    if (checked.kind === "invalid") {
      throw new Error(`Cannot sign with ${directory}: ${checked.problems.join("; ")}`);
    }
    const { bundles } = parseTrust({ [rootsKey(trustDomain)]: read["ca.crt"] });
    const next = new CertificateAuthority({
      trustDomain,
      signer: checked.signer,
      roots: bundles.get(trustDomain) ?? [],
      leafLifetimeMs: lifetimeMs,
      clock,
      randomBytes,
    });
    [material, authority] = [read, next];
    const others = parseTrust(JSON.parse(read.others) as Record<string, string>);
    trust = { bundles: new Map([...others.bundles, ...bundles]), bans: others.bans };
    for (const listener of listeners) listener();
  };
  const follow = async (): Promise<void> => {
    let last = "";
    while (!signal.aborted) {
      await clock.sleep(REREAD_MS, signal);
      if (setBacks.look()) for (const listener of listeners) listener();
      await reread().then(
        () => (last = ""),
        (error: unknown) => {
          if (String(error) !== last) log.warn("cannot read the authority", { directory, error });
          last = String(error);
        },
      );
    }
  };
  await reread();
  void follow();
  return {
    trust: () => trust,
    signer: () => material && `${setBacks.count} ${material["tls.crt"]}`,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    sign: async (csr, uri) => {
      const [request, identity] = [decodeCsr(csr), parseSpiffeId(uri)];
      if (request.kind === "invalid") throw new Error(`Cannot sign: ${request.problem}`);
      if (authority === undefined || identity === undefined) {
        throw new Error(`Cannot sign for ${uri}: it is no workload of ${trustDomain}`);
      }
      return authority.issue({ publicKey: request.publicKey, identity, node: nodeName });
    },
  };
}

/** Times that the clock was set back: what was signed before them may be of the future. */
class SetBacks {
  count = 0;
  readonly #clock: Clock;
  #aheadMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#aheadMs = clock.wallMs() - clock.monotonicMs();
  }

  /** @returns whether it was since the last look, by more than certificates are backdated by */
  look(): boolean {
    const beforeMs = this.#aheadMs;
    this.#aheadMs = this.#clock.wallMs() - this.#clock.monotonicMs();
    const isSetBack = this.#aheadMs < beforeMs - BACKDATED_MS;
    if (isSetBack) this.count += 1;
    return isSetBack;
  }
}

async function readDirectory(directory: string): Promise<Material> {
  const read = (name: string): Promise<string> => readFile(join(directory, name), "utf8");
  const [chain, key, roots, others] = await Promise.all([
    read("tls.crt"),
    read("tls.key"),
    read("ca.crt"),
    read("trust.json").catch(() => "{}"),
  ]);
  return { "tls.crt": chain, "tls.key": key, "ca.crt": roots, others };
}

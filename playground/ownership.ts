// A playground's beginning and end on the machine: taking its name, and removing every trace.

import { networkInterfaces } from "node:os";

import type { Claims } from "./claims.ts";
import { hostInterfaceName } from "./cluster-plan.ts";
import { killInside, listNamespaces, removeMachineLink, removeNamespaces } from "./namespaces.ts";
import { PlaygroundError } from "./playground-error.ts";

/**
 * Makes a prefix this process's own, after removing what a dead owner left under it.
 * @throws PlaygroundError `prefix-in-use`, `command-failed`
 */
export async function takePrefix(claims: Claims, prefix: string): Promise<void> {
  if (claims.claimPrefix(prefix)) return;
  if (!claims.ownerIsAlive(prefix)) {
    await deletePlayground(claims, prefix);
    if (claims.claimPrefix(prefix)) return;
  }
  throw new PlaygroundError(
    "prefix-in-use",
    `Cannot create playground "${prefix}": a living process owns one of that name`,
  );
}

/**
 * Removes everything that carries the prefix. The order matters: processes would keep nameless
 * namespaces alive, and as long as the claim is there a sweep finds the rest.
 */
export async function deletePlayground(claims: Claims, prefix: string): Promise<void> {
  const names = await listNamespaces(`${prefix}-`);
  await killInside(names);
  await removeMachineLink(hostInterfaceName(prefix));
  await removeNamespaces(names);
  claims.release(prefix);
}

/** Third bytes of 198.18.0.0/16 that interfaces of this machine use. */
export function machineSubnets(): Set<number> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return new Set(
    addresses
      .map(({ address }) => /^198\.18\.(\d+)\./.exec(address)?.[1])
      .filter((third) => third !== undefined)
      .map(Number),
  );
}

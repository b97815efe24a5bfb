// Names that policies allow, resolved for the node's policies.

import { systemClock } from "../lib/clock/system-clock.ts";
import { DomainResolver, makeResolveName } from "../netpol-identity/apply/domain-resolver.ts";
import type { NodePolicies } from "../netpol-identity/apply/node-policies.ts";

/** @param onChange called when some name leads elsewhere than before */
export function resolvePolicyDomains(
  { index }: Pick<NodePolicies, "index">,
  onChange: () => void,
): DomainResolver {
  return new DomainResolver({
    names: () => index.domains,
    resolve: makeResolveName(),
    onAddresses: (name, addresses) => {
      if (index.setDomainAddresses(name, addresses)) onChange();
    },
    clock: systemClock,
  });
}

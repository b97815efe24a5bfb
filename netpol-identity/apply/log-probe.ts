// Whether this kernel's rules can tell of packets: a kernel may have the log that is read, and not
// the expression that writes to it. Asked with throw-away tables, which no packet ever meets: one
// refused rule would be the end of the whole batch that closes pods.

import { type Family, NftError, type NftKernel, type Transaction } from "../../lib/nft/objects.ts";

/** Of nfnetlink_log: ours, as the ports of the proxy are. */
export const LOG_GROUP = 15_308;

const PROBE = "innermesh-log-probe";
const FAMILIES = ["ip", "ip6"] as const;

/** @returns the kernel's errno name; undefined where it takes such rules */
export async function logRefusal(kernel: Pick<NftKernel, "commit">): Promise<string | undefined> {
  try {
    await kernel.commit(FAMILIES.map(probe));
    return undefined;
  } catch (error) {
    if (!(error instanceof NftError)) throw error;
    return error.code;
  }
}

function probe(family: Family): Transaction {
  return {
    family,
    table: PROBE,
    changes: [
      { kind: "add-table" },
      { kind: "add-chain", chain: { name: PROBE } },
      {
        kind: "add-rule",
        chain: PROBE,
        rule: [{ kind: "log", prefix: PROBE, group: LOG_GROUP, perSecond: 1 }],
      },
      { kind: "delete-table" },
    ],
  };
}

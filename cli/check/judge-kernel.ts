// Checks of the kernel and of what this process may do with it. Pure.

import type { Facts, RefusedPart } from "./facts.ts";
import { type Check, fail, ifKnown, ok, skip, some, type Verdict, warn } from "./verdict.ts";

/** DNAT by a map of concatenated fields, and `reject` in nat chains. */
const MINIMUM_KERNEL = [5, 13] as const;
/** `nft` before this prints our maps without their types. */
const MINIMUM_NFT = [1, 0, 1] as const;
/** Up to this one `nft -f` aborts on map updates keyed by an IPv6 address. */
const NFT_WITHOUT_IPV6_AFFINITY = [1, 0, 6] as const;
const CAP_NET_ADMIN = 12n;

export const KERNEL_CHECKS: readonly Check[] = [
  { id: "kernel.version", worst: "fail", judge: judgeVersion },
  { id: "kernel.nf-tables", worst: "fail", judge: judgeNfTables },
  { id: "kernel.ruleset", worst: "fail", judge: judgeRuleset },
  { id: "kernel.nft-program", worst: "fail", judge: judgeNftProgram },
  { id: "kernel.sctp", worst: "fail", judge: judgeSctp },
  { id: "privileges.net-admin", worst: "fail", judge: judgeNetAdmin },
];

function judgeVersion({ kernel: { release } }: Facts): Verdict {
  const version = numbersOf(release);
  if (version.length < 2) return skip(`"${release}" is no version`);
  const wanted = MINIMUM_KERNEL.join(".");
  if (isOlder(version, MINIMUM_KERNEL)) {
    return fail(`Linux ${release} is older than ${wanted}`, "upgrade the node's kernel");
  }
  return ok(`Linux ${release}`);
}

function judgeNfTables({ kernel: { generation } }: Facts): Verdict {
  if (generation.kind === "known") return ok(`answers; generation ${generation.value}`);
  return fail(
    generation.why,
    "run as root on the node, or in the agent's pod; load the module nf_tables",
  );
}

function judgeRuleset({ kernel: { refused } }: Facts): Verdict {
  return ifKnown(refused, (parts) => {
    if (parts.length === 0) return ok("the kernel takes every rule and set that we use");
    const inWords = ({ family, part, why }: RefusedPart): string => `${part} (${family}): ${why}`;
    return fail(
      `refused: ${some(parts.map(inWords), "; ")}`,
      "load or build the modules nft_ct, nft_fib, nft_masq, nft_nat, nft_numgen, nft_reject " +
        "and, for IPv6, nft_fib_ipv6 and nft_reject_ipv6",
    );
  });
}

function judgeNftProgram({ kernel: { nftVersion }, settings }: Facts): Verdict {
  return ifKnown(nftVersion, (version) => {
    const isBackend = settings.nftBackend === "command";
    if (version === undefined) {
      if (isBackend)
        return fail("there is none", "install nftables, or drop --nft-backend=command");
      return warn("there is none; only people who look at the rules miss it", "install nftables");
    }
    const numbers = numbersOf(version);
    if (isOlder(numbers, MINIMUM_NFT)) {
      return warn(`nft ${version} cannot print our table`, "upgrade nftables to 1.0.1 or newer");
    }
    if (isOlder(NFT_WITHOUT_IPV6_AFFINITY, numbers)) return ok(`nft ${version}`);
    const limit = `nft ${version} prints our table, but cannot load IPv6 session affinity`;
    return isBackend ? warn(limit, "drop --nft-backend=command: netlink can") : ok(limit);
  });
}

function judgeSctp({ kernel: { tracksSctp }, cluster: { objects } }: Facts): Verdict {
  return ifKnown(objects, ({ sctpServices }) => {
    if (sctpServices.length === 0) return ok("no Service uses SCTP");
    return ifKnown(tracksSctp, (tracked) =>
      tracked
        ? ok(`connection tracking knows SCTP, which ${some(sctpServices)} use`)
        : fail(
            `the kernel cannot translate SCTP, which ${some(sctpServices)} use`,
            "build the kernel with CONFIG_NF_CT_PROTO_SCTP, or keep these Services off this node",
          ),
    );
  });
}

function judgeNetAdmin({ kernel: { capabilities } }: Facts): Verdict {
  return ifKnown(capabilities, (bits) =>
    (bits & (1n << CAP_NET_ADMIN)) !== 0n
      ? ok("this process has CAP_NET_ADMIN")
      : fail("this process lacks CAP_NET_ADMIN", "run as root on the node, or in the agent's pod"),
  );
}

function numbersOf(version: string): number[] {
  return (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? "").split(".").filter(Boolean).map(Number);
}

/** Compares number by number; missing ones count as 0. */
function isOlder(version: readonly number[], than: readonly number[]): boolean {
  for (let i = 0; i < Math.max(version.length, than.length); i++) {
    const difference = (version[i] ?? 0) - (than[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

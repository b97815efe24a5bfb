// Checks of identities: certificates, whom the node trusts, and what the kernel holds. Pure.

import type { IdentityReport, PodIdentity } from "../../netpol-identity/apply/identity-report.ts";
import { formatAge } from "../identity/identity-text.ts";
import type { Facts } from "./facts.ts";
import {
  type Check,
  fail,
  ifKnown,
  ok,
  skip,
  some,
  type Verdict,
  warn,
  withDetails,
} from "./verdict.ts";

export const IDENTITY_CHECKS: readonly Check[] = [
  { id: "identity.agent", worst: "warn", judge: judgeAgent },
  reported("identity.authority", "fail", judgeAuthority),
  reported("identity.certificates", "fail", judgeCertificates),
  reported("identity.trust", "fail", judgeTrust),
  reported("identity.bindings", "fail", judgeBindings),
  reported("identity.bridges", "fail", judgeBridges),
  whereOn("identity.tables", "fail", judgeTables),
  reported("identity.problems", "warn", judgeProblems),
  reported("identity.dropped", "warn", judgeDropped),
  reported("identity.memory", "fail", judgeMemory),
];

/** Certificates are renewed at half their life: with less than this left, that has failed. */
const LEAST_LEFT = 0.25;
const ROOT_ENDS_SOON_MS = 30 * 86_400_000;
const ASK_THE_LOG = "look in the agent's log for why";

function isOn({ settings, pre }: Facts): boolean {
  return settings.identity.mode !== "none" && !pre;
}

/** Where identities are off, one line says so. */
function whereOn(id: string, worst: Check["worst"], judge: Check["judge"]): Check {
  return { id, worst, appliesTo: isOn, judge };
}

function reported(
  id: string,
  worst: Check["worst"],
  judge: (report: IdentityReport, facts: Facts) => Verdict,
): Check {
  return whereOn(id, worst, (facts) =>
    ifKnown(facts.identity.report, (report) => judge(report, facts)),
  );
}

function judgeAgent({ settings, pre, identity: { report } }: Facts): Verdict {
  if (settings.identity.mode === "none") return ok("identities are off");
  if (pre) return skip("before an install there is no agent");
  if (report.kind === "unknown") {
    return warn(
      `the agent does not tell of identities: ${report.why}`,
      "run this check where the agent's socket is, in its Pod; see --admin-socket and --identity",
    );
  }
  const enrolled = report.value.pods.filter(({ mode }) => mode !== "off");
  const identities = new Set(enrolled.map(({ identity }) => identity));
  return ok(`${enrolled.length} pods here are enrolled, as ${identities.size} identities`);
}

function judgeAuthority({ identities, atMs }: IdentityReport): Verdict {
  const refused = identities.filter(({ lastError }) => lastError !== undefined);
  const signed = identities.flatMap(({ certificate }) => certificate?.issuedMs ?? []);
  const last =
    signed.length === 0
      ? "it has signed nothing yet"
      : `it signed ${formatAge(atMs - Math.max(...signed))} ago`;
  if (refused.length === 0) return ok(identities.length === 0 ? "nobody asks it" : last);
  const why = refused[0]?.lastError ?? "";
  const message = `no answer for ${refused.length} identities: ${why}; ${last}`;
  const hint = why.includes("by this node's clock")
    ? "the authority's clock and this node's differ: synchronise both (NTP)"
    : "see that the controller runs and --certificate-authority names it; its log says what it " +
      "refuses";
  const isLost = refused.some(({ certificate }) => certificate === undefined);
  const verdict = isLost ? fail(message, hint) : warn(message, hint);
  return withDetails(
    verdict,
    refused.map(({ identity, lastError }) => `${identity}: ${lastError ?? ""}`),
  );
}

function judgeCertificates({ identities, pods, host, atMs }: IdentityReport): Verdict {
  const needed = new Set([...pods, ...(host === undefined ? [] : [host])].map(idOf));
  const asked = identities.filter(({ identity }) => needed.has(identity));
  const none = asked.filter(
    ({ certificate }) => certificate === undefined || certificate.notAfterMs < atMs,
  );
  if (none.length > 0) {
    const names = none.map(({ identity }) => identity);
    const message = `without a valid certificate: ${some(names)}: their pods reach no tunnel`;
    return withDetails(fail(message, `innermesh identity says why; ${ASK_THE_LOG}`), names);
  }
  const late = asked.filter(({ certificate }) => {
    if (certificate === undefined) return false;
    const { issuedMs, notAfterMs } = certificate;
    return notAfterMs - atMs < LEAST_LEFT * (notAfterMs - issuedMs);
  });
  if (late.length > 0) {
    const names = late.map(({ identity }) => identity);
    return withDetails(
      warn(
        `less than a quarter of their life is left to ${some(names)}`,
        "they should have been renewed at half of it: see identity.authority",
      ),
      names,
    );
  }
  return ok(`${asked.length} are valid and have more than a quarter of their life left`);
}

function idOf({ identity }: { readonly identity?: string }): string | undefined {
  return identity;
}

function judgeTrust({ trust, trustDomain, atMs }: IdentityReport): Verdict {
  const own = trust.filter(({ domain }) => domain === trustDomain);
  const ends = Math.max(...own.map(({ notAfterMs }) => notAfterMs));
  if (own.length === 0 || ends < atMs) {
    return fail(
      `no valid root of ${trustDomain} is known: nobody is believed`,
      "see that --trust-domain is the authority's, and that its bundle is published",
    );
  }
  if (ends - atMs < ROOT_ENDS_SOON_MS) {
    return warn(
      `the last root of ${trustDomain} ends in ${formatAge(ends - atMs)}`,
      "rotate the root: add the new one, switch, remove the old one",
    );
  }
  const others = new Set(trust.map(({ domain }) => domain)).size - 1;
  return ok(`${own.length} roots of ${trustDomain}, ${others} other domains`);
}

function judgeBindings({ pods }: IdentityReport): Verdict {
  const isUnbound = ({ addresses }: PodIdentity): boolean =>
    addresses.some((place) => place.interface === undefined);
  const unbound = pods.filter(isUnbound);
  if (unbound.length === 0) return ok("every pod is bound to its interface");
  const names = unbound.map(({ pod }) => pod);
  const message = `no interface is known for ${some(names)}`;
  const isLost = unbound.some(({ mode }) => mode !== "off");
  const verdict = isLost
    ? fail(`${message}: what enrolled ones among them send is dropped`, NOT_BOUND)
    : warn(`${message}: others may send in their name`, NOT_BOUND);
  return withDetails(verdict, names);
}

const NOT_BOUND =
  "identity.problems says why: CNIs with routed or bridged veths are supported, not ipvlan, " +
  "macvlan or eBPF";

function judgeBridges({ pods }: IdentityReport, { identity: { watchedBridges } }: Facts): Verdict {
  return ifKnown(watchedBridges, (watched) => {
    const bridged = pods.filter(
      ({ mode, addresses }) =>
        mode !== "off" &&
        addresses.some(
          ({ address, isBridged }) => isBridged && !watched[address.includes(":") ? "ip6" : "ip"],
        ),
    );
    if (bridged.length === 0) return ok("no enrolled pod is on a bridge that nobody watches");
    const names = bridged.map(({ pod }) => pod);
    const message = `pods on the same bridge reach ${some(names)} past all rules`;
    const hint =
      "modprobe br_netfilter, then sysctl -w net.bridge.bridge-nf-call-iptables=1 " +
      "net.bridge.bridge-nf-call-ip6tables=1";
    const isOpen = bridged.some(({ mode }) => mode === "strict");
    return withDetails(isOpen ? fail(message, hint) : warn(message, hint), names);
  });
}

function judgeTables({ identity: { missingTables } }: Facts): Verdict {
  return ifKnown(missingTables, (missing) =>
    missing.length === 0
      ? ok("the kernel holds identities")
      : fail(
          `no table innermesh-policy in ${some(missing, ", ", missing.length)}: identities are ` +
            "not held there",
          ASK_THE_LOG,
        ),
  );
}

function judgeProblems({ problems }: IdentityReport): Verdict {
  if (problems.length === 0) return ok("none");
  const message = `${problems.length}: ${some(problems, "; ")}`;
  return withDetails(warn(message, "innermesh identity lists all of them"), problems);
}

function judgeDropped({ dropped: { spoofed, closed } }: IdentityReport): Verdict {
  const refused = `${closed} packets to strict pods were dropped`;
  if (spoofed === 0) return ok(`nobody lied about the sender; ${refused}`);
  return warn(
    `${spoofed} packets with a sender who is not at their interface were dropped; ${refused}`,
    "a pod of this node forges addresses, or has more than its status tells; nft list table " +
      "netdev innermesh-policy",
  );
}

function judgeMemory({ exposure }: IdentityReport): Verdict {
  if (exposure.length === 0) return ok("no debugger, no core: the agent keeps its keys to itself");
  return fail(
    `keys in the agent's memory can be read: ${some(exposure)}`,
    "start it anew, without flags of Node that open a debugger or write its memory",
  );
}

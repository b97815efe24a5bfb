// What turns each check of identities red; a healthy node is in red-cases.ts.

import { type Facts, type IdentityFacts, known, unknown } from "./facts.ts";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import { flags, type RedCase, when } from "./red-cases.ts";
import { GREEN_IDENTITY, GREEN_REPORT } from "./sample-identities.ts";

const facts = (more: Partial<IdentityFacts>): Facts => ({
  ...flags("--identity=off"),
  identity: { ...GREEN_IDENTITY, ...more },
});
const report = (more: Partial<IdentityReport>): Facts =>
  facts({ report: known({ ...GREEN_REPORT, ...more }) });

const { atMs } = GREEN_REPORT;
const [pod = raise(), plain = raise()] = GREEN_REPORT.pods;
const [key = raise()] = GREEN_REPORT.identities;
const [root = raise()] = GREEN_REPORT.trust;
const certificate = key.certificate ?? raise();
const bridged = { address: "10.71.1.2", interface: "veth1", isBridged: true } as const;

export const IDENTITY_RED_CASES: readonly RedCase[] = [
  when("identity.agent", "it does not answer", facts({ report: unknown("ENOENT") }), "warn", /ENO/),
  when("identity.agent", "identities are off", flags(), "ok", /^identities are off$/),
  when("identity.agent", "it is before an install", { ...facts({}), pre: true }, "skip"),
  when("identity.agent", "all is well", facts({}), "ok", /^1 pods .* 1 identities/),
  when(
    "identity.authority",
    "it never answered",
    report({ identities: [{ ...bare(), state: "failed", lastError: "ECONNREFUSED" }] }),
    "fail",
    /no answer for 1 identities: ECONNREFUSED; it has signed nothing yet/,
  ),
  when(
    "identity.authority",
    "it does not answer any more",
    report({ identities: [{ ...key, state: "renewing", lastError: "ECONNREFUSED" }] }),
    "warn",
    /ECONNREFUSED; it signed 1h ago/,
  ),
  when("identity.authority", "nobody is enrolled", report({ identities: [] }), "ok"),
  when(
    "identity.certificates",
    "there is none yet",
    report({ identities: [{ ...bare(), state: "waiting" }] }),
    "fail",
    /without a valid certificate: spiffe:.*\/web/,
  ),
  when(
    "identity.certificates",
    "one is over",
    report({ identities: [{ ...key, certificate: { ...certificate, notAfterMs: atMs - 1 } }] }),
    "fail",
  ),
  when(
    "identity.certificates",
    "one ends soon",
    report({
      identities: [
        { ...key, certificate: { ...certificate, issuedMs: atMs - 90, notAfterMs: atMs + 10 } },
      ],
    }),
    "warn",
    /less than a quarter/,
  ),
  when(
    "identity.certificates",
    "one that nobody needs any more is over",
    report({ pods: [plain], identities: [bare()] }),
    "ok",
  ),
  when(
    "identity.trust",
    "only another domain is known",
    report({ trust: [{ ...root, domain: "other.example" }] }),
    "fail",
    /no valid root of cluster\.local/,
  ),
  when(
    "identity.trust",
    "its roots are over",
    report({ trust: [{ ...root, notAfterMs: atMs - 1 }] }),
    "fail",
  ),
  when(
    "identity.trust",
    "its last root ends this week",
    report({ trust: [{ ...root, notAfterMs: atMs + 3 * 86_400_000 }] }),
    "warn",
    /ends in 3d/,
  ),
  when(
    "identity.bindings",
    "an enrolled pod has no interface",
    report({ pods: [{ ...pod, addresses: [{ address: "10.71.1.2" }] }] }),
    "fail",
    /shop\/web-0: what enrolled/,
  ),
  when(
    "identity.bindings",
    "a pod that is not enrolled has none",
    report({ pods: [{ ...plain, addresses: [{ address: "10.71.1.3" }] }] }),
    "warn",
    /others may send in their name/,
  ),
  when(
    "identity.bridges",
    "a strict pod is on a bridge that nobody watches",
    report({ pods: [{ ...pod, mode: "strict", addresses: [bridged] }] }),
    "fail",
    /reach shop\/web-0 past all rules/,
  ),
  when(
    "identity.bridges",
    "a permissive one is",
    report({ pods: [{ ...pod, addresses: [bridged] }] }),
    "warn",
  ),
  when(
    "identity.bridges",
    "the bridge is watched",
    facts({
      report: known({ ...GREEN_REPORT, pods: [{ ...pod, mode: "strict", addresses: [bridged] }] }),
      watchedBridges: known({ ip: true, ip6: false }),
    }),
    "ok",
  ),
  when(
    "identity.tables",
    "one is gone",
    facts({ missingTables: known(["netdev"]) }),
    "fail",
    /no table innermesh-policy in netdev/,
  ),
  when("identity.tables", "nobody can look", facts({ missingTables: unknown("EPERM") }), "skip"),
  when(
    "identity.problems",
    "there is one",
    report({ problems: ["Namespace shop: want off, permissive or strict"] }),
    "warn",
    /^1: Namespace shop/,
  ),
  when(
    "identity.dropped",
    "somebody forges senders",
    report({ dropped: { spoofed: 3, closed: 0 } }),
    "warn",
    /^3 packets/,
  ),
  when(
    "identity.dropped",
    "strict pods refuse",
    report({ dropped: { spoofed: 0, closed: 9 } }),
    "ok",
    /9 packets to strict pods/,
  ),
  when(
    "identity.memory",
    "a debugger listens",
    report({ exposure: ["a debugger listens"] }),
    "fail",
    /a debugger listens/,
  ),
  when("identity.memory", "the agent is silent", facts({ report: unknown("ENOENT") }), "skip"),
];

/** The same identity without a certificate. */
function bare() {
  return { identity: key.identity, state: "waiting" } as const;
}

function raise(): never {
  throw new Error("The healthy report is empty");
}

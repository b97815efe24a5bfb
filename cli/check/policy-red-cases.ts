// What turns each check of policies red; a healthy node is in red-cases.ts.

import { type Facts, known, type PolicyFacts, unknown } from "./facts.ts";
import { bridge, flags, GREEN, host, type RedCase, when } from "./red-cases.ts";

const ON = flags("--network-policy=enforce");
const MESH = flags("--identity=off");
const policy = (more: Partial<PolicyFacts>, from = ON): Facts => ({
  ...from,
  policy: { ...from.policy, ...more },
});
const bridged = host({ bridges: known([bridge("cni0", "10.71.1.1")]) }, ON);
const unwatched = { watchedBridges: known({ ip: true, ip6: false }) } as const;

export const POLICY_RED_CASES: readonly RedCase[] = [
  when(
    "policy.engine",
    "another engine is there, too",
    policy({ engines: known(["Calico (chain cali-FORWARD)"]) }),
    "warn",
    /both must allow/,
  ),
  when(
    "policy.engine",
    "there are policies, and nobody",
    policy({ count: known(4) }, GREEN),
    "warn",
    /nobody enforces the 4/,
  ),
  when("policy.engine", "they are off and there are none", policy({}, GREEN), "ok"),
  when(
    "policy.engine",
    "they are another's",
    policy({ count: known(4), engines: known(["Cilium (chain CILIUM_FORWARD)"]) }, GREEN),
    "ok",
    /left to Cilium/,
  ),
  when(
    "policy.engine",
    "policies may not be counted",
    policy({ count: unknown("403") }, GREEN),
    "skip",
  ),
  when(
    "policy.tables",
    "there are none for IPv6",
    policy({ missingTables: known(["ip6"]) }),
    "fail",
    /in ip6: all is open/,
  ),
  when(
    "policy.current",
    "the agent lags behind",
    policy({ lacking: known(["ServiceAccountPolicy web"]) }),
    "fail",
    /does not hold ServiceAccountPolicy web/,
  ),
  when("policy.current", "it does not answer", policy({ lacking: unknown("ECONN") }), "skip"),
  when(
    "policy.bridges",
    "frames pass by the rules",
    policy({ ...unwatched, count: known(1) }, bridged),
    "fail",
    /\(cni0\)/,
  ),
  when("policy.bridges", "they do and nobody minds", policy(unwatched, bridged), "warn"),
  when("policy.bridges", "no pod is on a bridge", policy(unwatched), "ok"),
  when(
    "policy.denial-log",
    "rules cannot log",
    policy({ logRefusal: known("ENOENT") }),
    "warn",
    /\(ENOENT\).*not told/,
  ),
  when(
    "policy.tunnel-port",
    "a firewall drops it",
    policy({ tunnelBlocks: known(["inet host input"]) }, MESH),
    "fail",
    /15008.*inet host input/,
  ),
];

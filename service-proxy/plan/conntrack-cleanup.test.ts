import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConntrackEntry, ConntrackTuple } from "../../lib/netlink/conntrack-entry.ts";
import type { RetiredTargets, UdpTargets } from "../model/udp-targets.ts";
import { type StaleReason, staleReason } from "./conntrack-cleanup.ts";

const targets: UdpTargets = {
  addresses: new Map([
    ["10.96.0.10 . 53", new Set(["10.244.0.5 . 5353", "10.244.0.6 . 5353"])],
    ["10.96.0.11 . 53", new Set()],
    ["10.0.0.1 . 53", new Set(["10.244.0.7 . 53"])],
    ["fd00:96::a . 53", new Set(["fd00:244::5 . 53"])],
  ]),
  nodePorts: new Map([
    [30_053, new Set(["10.244.0.5 . 5353"])],
    [53, new Set(["10.244.0.5 . 5353"])],
  ]),
  nodePortAddresses: new Set(["10.0.0.1"]),
};

const retired: RetiredTargets = {
  addresses: new Set(["10.96.0.99 . 53"]),
  nodePorts: new Set([30_099]),
};

interface Case {
  readonly rule: string;
  readonly to: string;
  readonly answeredBy: string;
  readonly expected: StaleReason | undefined;
  readonly protocol?: number;
  readonly zone?: number;
}

const cases: readonly Case[] = [
  {
    rule: "a flow to an endpoint that serves is kept",
    to: "10.96.0.10 53",
    answeredBy: "10.244.0.6 5353",
    expected: undefined,
  },
  {
    rule: "a flow to an endpoint that is gone goes",
    to: "10.96.0.10 53",
    answeredBy: "10.244.0.9 5353",
    expected: "endpoint-gone",
  },
  {
    rule: "a flow to another port of an endpoint goes",
    to: "10.96.0.10 53",
    answeredBy: "10.244.0.5 53",
    expected: "endpoint-gone",
  },
  {
    rule: "a flow of a Service with zero endpoints goes",
    to: "10.96.0.11 53",
    answeredBy: "10.244.0.5 5353",
    expected: "endpoint-gone",
  },
  {
    rule: "a flow that was never translated goes when its Service appears",
    to: "10.96.0.10 53",
    answeredBy: "10.96.0.10 53",
    expected: "untranslated",
  },
  {
    rule: "an untranslated flow in a zone of somebody's own is kept",
    to: "10.96.0.10 53",
    answeredBy: "10.96.0.10 53",
    zone: 7,
    expected: undefined,
  },
  {
    rule: "a translated flow in another zone is judged like any",
    to: "10.96.0.10 53",
    answeredBy: "10.244.0.9 5353",
    zone: 7,
    expected: "endpoint-gone",
  },
  {
    rule: "a flow to a NodePort and an endpoint that is gone goes",
    to: "10.0.0.1 30053",
    answeredBy: "10.244.0.9 5353",
    expected: "endpoint-gone",
  },
  {
    rule: "a flow to a NodePort and an endpoint that serves is kept",
    to: "10.0.0.1 30053",
    answeredBy: "10.244.0.5 5353",
    expected: undefined,
  },
  {
    rule: "a flow to a NodePort that a host process answered goes: NodePorts win",
    to: "10.0.0.1 30053",
    answeredBy: "10.0.0.1 30053",
    expected: "untranslated",
  },
  {
    rule: "a flow to the number of a NodePort on an address that serves none is kept",
    to: "198.51.100.1 30053",
    answeredBy: "198.51.100.1 30053",
    expected: undefined,
  },
  {
    rule: "an externalIP that is a node's address wins over a NodePort of the same number",
    to: "10.0.0.1 53",
    answeredBy: "10.244.0.7 53",
    expected: undefined,
  },
  {
    rule: "a translated flow of a deleted Service goes",
    to: "10.96.0.99 53",
    answeredBy: "10.244.0.5 5353",
    expected: "service-gone",
  },
  {
    rule: "an untranslated flow to an address that is no Service's any more is kept",
    to: "10.96.0.99 53",
    answeredBy: "10.96.0.99 53",
    expected: undefined,
  },
  {
    rule: "a translated flow of a deleted NodePort goes",
    to: "10.0.0.1 30099",
    answeredBy: "10.244.0.5 5353",
    expected: "service-gone",
  },
  {
    rule: "a flow to another port of a Service's address is kept",
    to: "10.96.0.10 54",
    answeredBy: "10.244.0.9 5353",
    expected: undefined,
  },
  {
    rule: "a TCP flow is never touched",
    to: "10.96.0.10 53",
    answeredBy: "10.244.0.9 5353",
    protocol: 6,
    expected: undefined,
  },
  {
    rule: "an SCTP flow is never touched",
    to: "10.96.0.11 53",
    answeredBy: "10.244.0.9 5353",
    protocol: 132,
    expected: undefined,
  },
  {
    rule: "IPv6 flows follow the same rules",
    to: "fd00:96::a 53",
    answeredBy: "fd00:244::9 53",
    expected: "endpoint-gone",
  },
];

for (const { rule, expected, ...flow } of cases) {
  test(rule, () => {
    assert.equal(staleReason(makeEntry(flow), targets, retired), expected);
  });
}

function makeEntry({ to, answeredBy, protocol = 17, zone = 0 }: Omit<Case, "rule" | "expected">) {
  const [destination = "", destinationPort = ""] = to.split(" ");
  const [source = "", sourcePort = ""] = answeredBy.split(" ");
  const client = destination.includes(":") ? "fd00:1::9" : "203.0.113.9";
  const original: ConntrackTuple = {
    source: client,
    destination,
    sourcePort: 40_000,
    destinationPort: Number(destinationPort),
  };
  const reply: ConntrackTuple = {
    source,
    destination: client,
    sourcePort: Number(sourcePort),
    destinationPort: 40_000,
  };
  const family = destination.includes(":") ? "ip6" : "ip";
  const entry: ConntrackEntry = {
    family,
    protocol,
    original,
    reply,
    zone,
    replyZone: zone,
    status: 0,
    id: 1,
  };
  return entry;
}

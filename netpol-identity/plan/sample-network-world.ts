// Policies for tests: sets that use every tier and kind of peer, for the pods of the sample world.

import { sampleList, samplePeers, sampleRule, sampleSet } from "../evaluate/sample-set.ts";
import type { NetworkWorld } from "./network-world.ts";

/** Pod `a` of the sample world is isolated both ways, `b` has a worker's port, `c` has nothing. */
export function sampleNetwork(): NetworkWorld {
  const friends = samplePeers({ groups: ["friends"] });
  const office = samplePeers({
    groups: ["friends"],
    blocks: [
      { cidr: "10.9.0.0/16", except: ["10.9.1.0/24"] },
      { cidr: "fd09::/32", except: [] },
    ],
  });
  const web = [
    { protocol: "TCP", first: 80, last: 90 },
    { protocol: "TCP", first: 443, last: 443 },
    { protocol: "UDP", first: 53, last: 53 },
  ] as const;
  const ingress = sampleSet({
    id: "a",
    admin: [
      sampleRule({ action: "deny", peers: samplePeers({ groups: ["foes"] }) }),
      sampleRule({ action: "pass", peers: friends }),
      sampleRule({ peers: office, ports: web }),
    ],
    denies: [sampleRule({ action: "deny", peers: office, ports: web.slice(0, 1) })],
    network: sampleList(sampleRule({ peers: office }), sampleRule({ ports: web })),
    account: sampleList(sampleRule({ peers: friends, ports: web })),
  });
  const egress = sampleSet({
    id: "b",
    direction: "egress",
    denies: [sampleRule({ action: "deny", peers: samplePeers({ identities: ["callees"] }) })],
    baseline: [
      sampleRule({ action: "pass", peers: friends }),
      sampleRule({ action: "deny", peers: samplePeers({ groups: ["foes"] }), ports: web }),
    ],
    otherwise: "deny",
  });
  const proven = sampleSet({
    id: "c",
    account: sampleList(
      sampleRule({ peers: samplePeers({ identities: ["callers"] }), ports: web }),
    ),
  });
  const members = {
    friends: new Set(["10.71.1.3", "10.71.2.2", "fd71:1::3"]),
    foes: new Set(["10.71.2.9"]),
    callers: new Set(["10.71.2.2"]),
    callees: new Set(["fd71:2::2"]),
  };
  const byName = new Map<string, ReadonlySet<string>>(Object.entries(members));
  return {
    pods: [
      { addresses: ["10.71.1.2", "fd71:1::2"], ingress, egress },
      { addresses: ["10.71.1.3", "fd71:1::3"], ingress: proven },
      { addresses: ["10.71.1.4"] },
    ],
    gates: [{ address: "10.71.2.2", ingress: proven }],
    groups: { addresses: (group) => byName.get(group) },
    carriers: (group) => byName.get(group) ?? new Set(),
    hold: true,
    podCidrs: ["10.71.1.0/24", "fd71:1::/64"],
    logGroup: 5,
  };
}

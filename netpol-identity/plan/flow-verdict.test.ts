import assert from "node:assert/strict";
import { test } from "node:test";
import { protocolTcp } from "../../lib/netlink/conntrack-entry.ts";
import { type FlowWorld, isDenied } from "./flow-verdict.ts";
import { sampleFlow } from "./sample-flow.ts";
import {
  sampleGroups,
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../evaluate/sample-set.ts";

const POD = "10.71.1.2";
const FRIEND = "10.71.2.2";
const STRANGER = "198.51.100.7";
const NODE = "10.71.1.1";
const VIP = "10.96.0.10";
const FRIENDS = sampleList(sampleRule({ peers: samplePeers({ groups: ["friends"] }) }));
const INGRESS = sampleSet({ network: FRIENDS });
const EGRESS = sampleSet({ direction: "egress", network: FRIENDS });

function world(sets: { ingress?: typeof INGRESS; egress?: typeof EGRESS }): FlowWorld {
  return {
    pods: new Map([[POD, sets]]),
    groups: sampleGroups({ friends: [FRIEND] }),
    identityOf: () => null,
    isHost: (address) => address === NODE,
    isService: (address) => address === VIP,
  };
}

test("a flow is judged by both its ends, the server's behind every translation", () => {
  const into = world({ ingress: INGRESS });
  assert.equal(isDenied(sampleFlow(FRIEND, POD), into), false);
  assert.equal(isDenied(sampleFlow(STRANGER, POD), into), true);
  assert.equal(isDenied(sampleFlow(STRANGER, POD, { asked: VIP }), into), true);
  assert.equal(isDenied(sampleFlow(POD, STRANGER), into), false);
  const out = world({ egress: EGRESS });
  assert.equal(isDenied(sampleFlow(POD, STRANGER), out), true);
  assert.equal(isDenied(sampleFlow(POD, FRIEND, { asked: VIP }), out), false);
  assert.equal(isDenied(sampleFlow(STRANGER, POD), out), false);
});

test("flows with the node itself and those of workers are left alone", () => {
  const both = world({ ingress: INGRESS, egress: EGRESS });
  assert.equal(isDenied(sampleFlow(NODE, POD), both), false);
  assert.equal(isDenied(sampleFlow(POD, NODE), both), false);
  assert.equal(isDenied(sampleFlow(POD, VIP), both), false);
});

test("a flow to the pod's own node ends where the cluster's admin denies it", () => {
  const nowhere = sampleSet({ direction: "egress", admin: [sampleRule({ action: "deny" })] });
  const cut = world({ egress: { ...EGRESS, ownNode: nowhere } });
  assert.equal(isDenied(sampleFlow(POD, NODE), cut), true);
  assert.equal(isDenied(sampleFlow(POD, NODE), world({ egress: EGRESS })), false);
  assert.equal(isDenied(sampleFlow(NODE, POD), cut), false);
});

test("a Service with a pod's address for its own does not keep the pod's flows alive", () => {
  const isService = (address: string): boolean => address === POD;
  const claimed = { ...world({ ingress: INGRESS, egress: EGRESS }), isService };
  assert.equal(isDenied(sampleFlow(STRANGER, POD), claimed), true);
  assert.equal(isDenied(sampleFlow(POD, STRANGER), claimed), true);
});

test("a pod's flow to itself lives", () => {
  const both = world({ ingress: INGRESS, egress: EGRESS });
  assert.equal(isDenied(sampleFlow(POD, POD, { asked: VIP }), both), false);
});

test("a port that needs a certificate keeps nobody who came without", () => {
  const provenPorts = [{ protocol: "TCP", first: 80, last: 80 }] as const;
  const proven = world({ ingress: { ...INGRESS, provenPorts } });
  assert.equal(
    isDenied(sampleFlow(FRIEND, POD, { protocol: protocolTcp, port: 80 }), proven),
    true,
  );
  assert.equal(isDenied(sampleFlow(FRIEND, POD, { port: 81 }), proven), false);
});

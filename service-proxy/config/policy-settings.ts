// Settings of policies: whether this node enforces them.

import { supported } from "./setting.ts";
import { booleanType, choiceType } from "./value-type.ts";

export const policySettings = {
  networkPolicy: supported({
    flag: "network-policy",
    nodeField: "networkPolicy",
    type: choiceType("none", "enforce"),
    default: "none",
    besideConfig: true,
    help:
      "NetworkPolicy, ClusterNetworkPolicy and ServiceAccountPolicy: enforced by this node, or " +
      "left to another engine, none.",
  }),
  policyCanary: supported({
    flag: "policy-canary",
    nodeField: "policyCanary",
    type: booleanType,
    default: false,
    besideConfig: true,
    help:
      "Attack this node's own pods every few seconds, in ways that policies and identities must " +
      "stop, and tell the age of the last proof that they did; with network-policy only.",
  }),
};

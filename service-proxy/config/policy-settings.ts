// Settings of policies: whether this node enforces them.

import { supported } from "./setting.ts";
import { choiceType } from "./value-type.ts";

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
};

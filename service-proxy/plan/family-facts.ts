// Settings, Node object and interfaces → the facts and the ruleset options of one family. Pure.

import { type Address, familyOf } from "../../lib/ip/address.ts";
import type { Cidr } from "../../lib/ip/cidr.ts";
import type { Node } from "../../lib/kube/api/node.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { masqueradeMark } from "../config/node-settings.ts";
import { type DetectLocal, localPodCidrs } from "../model/local-traffic.ts";
import {
  type NodePortAddresses,
  nodePortScope,
  ownAddresses,
  primaryAddress,
  ZONE_LABEL,
} from "../model/node-facts.ts";
import type { GatedPods, LaneGate } from "../model/lane-gate.ts";
import type { FamilyFacts } from "./family-plan.ts";
import type { ProxyMode } from "./lane.ts";
import type { LaneOptions } from "./lane-marks.ts";
import type { LocalDetector, RulesetOptions } from "./ruleset.ts";
import { podRangesOf } from "./vip-guard.ts";

/** The settings that shape the table. */
export interface TableSettings {
  readonly nodeName: string;
  readonly detectLocal: DetectLocal;
  readonly masqueradeAll: boolean;
  readonly proxyMode: ProxyMode;
  /** See LaneSettings. */
  readonly hasIdentities?: (service: string) => boolean;
  /** Who may connect to Services of lanes. @default everybody */
  readonly gate?: LaneGate;
  readonly lane: LaneOptions;
  /** 0–31 */
  readonly masqueradeBit: number;
  readonly nodePortAddresses: NodePortAddresses;
  /** `--bind-address`, unless it is the unspecified address. */
  readonly bindAddress?: Address;
  /** Where this node reaches the API server, beside what Service default/kubernetes says. */
  readonly apiServerAddresses: readonly Address[];
}

/** What the world says at the moment. */
export interface NodeSituation {
  readonly node: Node | undefined;
  /** Addresses on this node's interfaces. */
  readonly hostAddresses: readonly Address[];
  readonly serviceCidrs: readonly Cidr[];
  /** Of the nodes that are known, this one among them. */
  readonly podCidrs: readonly Cidr[];
  /** Addresses of the cluster's other nodes, as far as they are known. */
  readonly otherNodes: readonly Address[];
  readonly apiServerAddresses: readonly Address[];
}

const NO_PODS: GatedPods = { all: [], isolated: [] };

/** The ruleset options follow from settings alone, so they never change while the node runs. */
export function rulesetOptions(settings: TableSettings, family: Family): RulesetOptions {
  const scope = nodePortScope(settings.nodePortAddresses, family, undefined, []);
  return {
    family,
    detector: detectorOf(settings.detectLocal, family),
    masqueradeAll: settings.masqueradeAll,
    masqueradeMark: masqueradeMark(settings),
    lane: settings.lane,
    gated: settings.gate !== undefined,
    logGroup: settings.gate?.logGroup,
    nodePortsEverywhere: scope.kind === "everywhere",
  };
}

export function familyFacts(
  settings: TableSettings,
  situation: NodeSituation,
  family: Family,
): FamilyFacts {
  const { node, hostAddresses } = situation;
  const primary = primaryAddress(node, family, settings.bindAddress);
  const scope = nodePortScope(settings.nodePortAddresses, family, primary, hostAddresses);
  const zone = node?.labels[ZONE_LABEL];
  const local = localPodCidrs(settings.detectLocal, node, family);
  return {
    place: { nodeName: settings.nodeName, ...(zone === undefined ? {} : { zone }) },
    ...(primary === undefined ? {} : { nodeAddress: primary }),
    nodePortAddresses: scope.kind === "addresses" ? scope.addresses : [],
    localPodCidrs: local,
    gatedPods: settings.gate?.gatedPods(family) ?? NO_PODS,
    serviceCidrs: situation.serviceCidrs.filter((cidr) => familyOf(cidr) === family),
    nodeAddresses: ownAddresses(node, [...hostAddresses, ...situation.otherNodes]),
    apiServerAddresses: new Set([...situation.apiServerAddresses].sort()),
    podRanges: podRangesOf([...local, ...situation.podCidrs]),
  };
}

function detectorOf(setting: DetectLocal, family: Family): LocalDetector {
  switch (setting.kind) {
    case "ClusterCIDR":
      return localPodCidrs(setting, undefined, family).length === 0
        ? { kind: "none" }
        : { kind: "cidr" };
    case "NodeCIDR":
      return { kind: "cidr" };
    case "BridgeInterface":
      return { kind: "bridge", interface: setting.interfaceName };
    case "InterfaceNamePrefix":
      return { kind: "prefix", prefix: setting.prefix };
    default:
      return setting satisfies never;
  }
}

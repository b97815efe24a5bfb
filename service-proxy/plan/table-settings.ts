// From the node's settings, those that shape the table.

import type { Address } from "../../lib/ip/address.ts";
import type { NodeSettings } from "../config/node-settings.ts";
import type { TableSettings } from "./family-facts.ts";

/** @param apiServerAddresses where this node reaches the API server */
export function tableSettings(
  settings: NodeSettings,
  nodeName: string,
  apiServerAddresses: readonly Address[],
): TableSettings {
  return {
    nodeName,
    apiServerAddresses,
    detectLocal: settings.detectLocal,
    masqueradeAll: settings.masqueradeAll,
    masqueradeBit: settings.masqueradeBit,
    proxyMode: settings.proxyMode,
    lane: {
      portInside: settings.proxy.insidePort,
      portOutside: settings.proxy.outsidePort,
      onDead: settings.proxy.fallback,
    },
    nodePortAddresses: settings.nodePortAddresses,
    ...(settings.nodeAddressOverride === undefined
      ? {}
      : { bindAddress: settings.nodeAddressOverride }),
  };
}

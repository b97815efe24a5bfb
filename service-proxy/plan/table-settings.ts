// From the node's settings, those that shape the table.

import type { NodeSettings } from "../config/node-settings.ts";
import type { TableSettings } from "./family-facts.ts";

export function tableSettings(settings: NodeSettings, nodeName: string): TableSettings {
  return {
    nodeName,
    detectLocal: settings.detectLocal,
    masqueradeAll: settings.masqueradeAll,
    masqueradeBit: settings.masqueradeBit,
    nodePortAddresses: settings.nodePortAddresses,
    ...(settings.nodeAddressOverride === undefined
      ? {}
      : { bindAddress: settings.nodeAddressOverride }),
  };
}

// How the canary's packets come from outside: frames of its own, through a pair of links of ours,
// whose far end is no pod's.

import { synFrame } from "../../lib/ip/syn-frame.ts";
import { ensurePair } from "../../lib/netlink/detour.ts";
import { listLinks } from "../../lib/netlink/link.ts";
import { sendFrames } from "../../lib/netlink/packet-socket.ts";
import type { Attack } from "../plan/canary-targets.ts";

/** Frames leave by the first and enter IP by the second. */
export const CANARY_LINKS = { out: "im4", in: "im5" } as const;

/** The stranger's address is its neighbour. */
const LINK_ADDRESS = { address: "192.0.2.1", prefixLength: 30 } as const;
const PORTS = { first: 20_000, count: 40_000 } as const;

/** Sends SYNs, each from another port than those before: no flow is known already. */
export class CanaryAttacker {
  #sent = 0;

  /** @throws RouteError, SystemError */
  async attack(attack: Attack, packets: number): Promise<void> {
    const { source, destination, port: destinationPort } = attack;
    const links = await ensurePair(CANARY_LINKS, await listLinks(), LINK_ADDRESS);
    const frames = Array.from({ length: packets }, () => {
      const sourcePort = PORTS.first + (this.#sent++ % PORTS.count);
      const ends = { source, sourcePort, destination, destinationPort };
      return synFrame({ destinationMac: links.in.address, ...ends });
    });
    sendFrames(links.out.index, frames);
  }
}

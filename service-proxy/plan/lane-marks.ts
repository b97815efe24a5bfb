// Marks, ports and routing numbers that the kernel half of the userspace lanes shares with the
// proxy's workers and with the routes around them. ARCHITECTURE.md lists them for people.

/** A packet that routing delivers to this node, whatever its destination. */
export const DELIVERED_MARK = 0x1000;
/** SO_MARK of every socket of the proxy, listeners too: their packets are not caught again. */
export const SOCKET_MARK = 0x800;
/** A host process's packet on its way to the proxy, by way of loopback. */
export const DIVERTED_MARK = DELIVERED_MARK | SOCKET_MARK;

/** Links of the SYN lift: frames of pods on a bridge leave by the first, enter IP by the second. */
export const LIFT_LINKS = { out: "im0", in: "im1" } as const;

/** How a lane's packets reach the proxy. */
export interface LaneOptions {
  /** Where connections of local pods arrive. */
  readonly portInside: number;
  /** Where all others arrive, those of host processes too. */
  readonly portOutside: number;
  /** What becomes of new connections while no worker takes them. */
  readonly onDead: "kernel" | "refuse";
}

export const DEFAULT_LANE: LaneOptions = {
  portInside: 15_001,
  portOutside: 15_002,
  onDead: "kernel",
};

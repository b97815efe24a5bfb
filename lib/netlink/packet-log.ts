// Packets that rules log to a group of nfnetlink_log, as they come.

import { errnoName } from "../sys/ffi.ts";
import { openEventSocket } from "./event-socket.ts";
import { decodeMessages, type Message } from "./message.ts";
import {
  decodeLoggedPacket,
  encodeLogBind,
  encodeLogMode,
  type LoggedPacket,
} from "./packet-log-codec.ts";
import { NETLINK_NETFILTER } from "./socket.ts";

export interface PacketLogOptions {
  readonly group: number;
  readonly onPacket: (packet: LoggedPacket) => void;
  /** It says nothing more: EPERM also where another process has the group. */
  readonly onEnd: (code: string) => void;
}

export interface PacketLog {
  /** Whether the kernel lets it in: resolves when it has answered. */
  readonly joined: Promise<boolean>;
  close(): void;
}

const BIND = 1;
const MODE = 2;
/** Packets were lost, or one was too long: there will be more. */
const LOSSES = new Set(["ENOBUFS", "EMSGSIZE"]);

/**
 * Joins a group of the calling thread's network namespace; needs CAP_NET_ADMIN.
 * @throws ErrnoException of the package when the kernel gives no socket
 */
export function openPacketLog({ group, onPacket, onEnd }: PacketLogOptions): PacketLog {
  let isOpen = true;
  const joined = Promise.withResolvers<boolean>();
  const end = (code: string): void => {
    if (!isOpen) return;
    isOpen = false;
    socket.close();
    joined.resolve(false);
    onEnd(code);
  };
  const take = (message: Message): void => {
    if (message.kind === "error" && message.errno !== 0) return end(errnoName(message.errno));
    if (message.kind === "error" && message.sequence === MODE) return joined.resolve(true);
    const packet = decodeLoggedPacket(message);
    if (packet !== undefined && isOpen) onPacket(packet);
  };
  const socket = openEventSocket({
    protocol: NETLINK_NETFILTER,
    groups: 0,
    onMessage: (bytes) => decodeMessages(bytes).forEach(take),
    onError: (code) => {
      if (!LOSSES.has(code)) end(code);
    },
  });
  socket.send(encodeLogBind(group, BIND));
  socket.send(encodeLogMode(group, MODE));
  return {
    joined: joined.promise,
    close: () => {
      if (isOpen) socket.close();
      isOpen = false;
      joined.resolve(false);
    },
  };
}

// Frames of our own making, sent out by a link as they are: needs CAP_NET_RAW.

import { AF_PACKET, bind, close, SOCK_RAW, send, socket } from "../sys/ffi.ts";

/** Bytes of a struct sockaddr_ll. */
const ADDRESS_BYTES = 20;

/** Sends frames one after the other. @throws SystemError, ENODEV or ENXIO where the link is gone */
export function sendFrames(linkIndex: number, frames: Iterable<Uint8Array>): void {
  // Of no protocol: it hears nothing.
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  try {
    const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
    address.setUint16(0, AF_PACKET, true);
    address.setInt32(4, linkIndex, true);
    bind(fd, new Uint8Array(address.buffer));
    for (const frame of frames) send(fd, frame);
  } finally {
    close(fd);
  }
}

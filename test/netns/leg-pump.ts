// Program: one direction of a bad cable. Carries frames from one interface of its namespace to
// another, and loses some, sends some twice, and holds some back until later ones have passed:
// `leg-pump.ts FROM_INDEX TO_INDEX`.

import {
  bind,
  MSG_DONTWAIT,
  pollReadable,
  recv,
  send,
  setSocketOption,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
  socket,
} from "../../lib/sys/ffi.ts";

const AF_PACKET = 17;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
/** Frames come and go with what the kernel left to do on them: checksum, segments. */
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const RECEIVE_BYTES = 8 << 20;
const FRAME_BYTES = 1 << 17;

/** Of all frames. */
const LOST = 0.05;
const DOUBLED = 0.05;
const HELD_BACK = 0.05;
const HELD_BACK_MS = 5;
const IDLE_MS = 1_000;

if (import.meta.main) {
  const [, , from, to] = process.argv;
  pump(openPackets(Number(from)), openPackets(Number(to)));
}

function openPackets(interfaceIndex: number): number {
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  setSocketOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
  setSocketOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES);
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL);
  address.setInt32(4, interfaceIndex, true);
  bind(fd, new Uint8Array(address.buffer));
  return fd;
}

/** Until it is killed. */
function pump(from: number, to: number): never {
  const frame = Buffer.alloc(FRAME_BYTES);
  const heldBack: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  for (;;) {
    const [next] = heldBack;
    const waitMs = next === undefined ? IDLE_MS : Math.ceil(next.dueMs - performance.now());
    pollReadable(from, Math.max(0, waitMs));
    for (;;) {
      const length = recv(from, frame, MSG_DONTWAIT);
      if (length === undefined) break;
      const bytes = frame.subarray(0, length);
      const fate = Math.random();
      if (fate < LOST) continue;
      if (fate < LOST + HELD_BACK) {
        heldBack.push({ bytes: Buffer.from(bytes), dueMs: performance.now() + HELD_BACK_MS });
        continue;
      }
      send(to, bytes);
      if (fate < LOST + HELD_BACK + DOUBLED) send(to, bytes);
    }
    while (heldBack[0] !== undefined && heldBack[0].dueMs <= performance.now()) {
      const due = heldBack.shift();
      if (due !== undefined) send(to, due.bytes);
    }
  }
}

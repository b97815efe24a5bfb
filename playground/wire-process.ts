// Listens to an interface of the namespace that it was started in, `wire-process.ts INTERFACE`: to
// all frames, in both directions, from when it is told to until it is asked what it heard.

import assert from "node:assert/strict";
import { listLinks } from "../lib/netlink/link.ts";
import {
  bind,
  close,
  MSG_DONTWAIT,
  recv,
  setSocketOption,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
  socket,
} from "../lib/sys/ffi.ts";
import { answerCalls } from "./line-calls.ts";
import type { WireCalls } from "./wire-protocol.ts";

const AF_PACKET = 17;
const ETH_P_ALL = 3;
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** A frame that the kernel has put together from many. */
const MOST_FRAME_BYTES = 128 << 10;
const READ_EVERY_MS = 5;

/** In an Ethernet frame without tags. */
const TYPE_AT = 12;
const TYPE_IP = 0x0800;
const IP_AT = 14;
const PROTOCOL_AT = IP_AT + 9;
const ADDRESSES_AT = IP_AT + 12;
const TCP = 6;

const buffer = Buffer.alloc(MOST_FRAME_BYTES);
let frames: Buffer[] = [];
let ear: { readonly descriptor: number; readonly timer: NodeJS.Timeout } | undefined;

answerCalls<WireCalls>({
  listen: async () => {
    assert(ear === undefined, "it listens already");
    const descriptor = await open(process.argv[2] ?? "");
    ear = { descriptor, timer: setInterval(() => read(descriptor), READ_EVERY_MS) };
    return null;
  },
  heard: ({ ends, word, port }) => {
    assert(ear !== undefined, "it was not told to listen");
    read(ear.descriptor);
    clearInterval(ear.timer);
    close(ear.descriptor);
    ear = undefined;
    const heard = frames;
    frames = [];
    const between = heard.filter((frame) => isBetween(frame, ends));
    return {
      frames: between.length,
      ofPort: between.filter((frame) => isOfPort(frame, port)).length,
      holdingWord: heard.filter((frame) => frame.includes(word)).length,
    };
  },
});

function read(descriptor: number): void {
  for (;;) {
    const lengthBytes = recv(descriptor, buffer, MSG_DONTWAIT);
    if (lengthBytes === undefined) return;
    frames.push(Buffer.from(buffer.subarray(0, lengthBytes)));
  }
}

async function open(name: string): Promise<number> {
  const link = (await listLinks()).find((one) => one.name === name);
  assert(link !== undefined, `there is no ${name}`);
  const opened = socket(AF_PACKET, SOCK_RAW, 0);
  setSocketOption(opened, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL);
  address.setInt32(4, link.index, true);
  bind(opened, new Uint8Array(address.buffer));
  return opened;
}

function isBetween(frame: Buffer, [one, other]: readonly [string, string]): boolean {
  if (frame.length < ADDRESSES_AT + 8 || frame.readUInt16BE(TYPE_AT) !== TYPE_IP) return false;
  const from = frame.subarray(ADDRESSES_AT, ADDRESSES_AT + 4).join(".");
  const to = frame.subarray(ADDRESSES_AT + 4, ADDRESSES_AT + 8).join(".");
  return (from === one && to === other) || (from === other && to === one);
}

function isOfPort(frame: Buffer, port: number): boolean {
  if (frame[PROTOCOL_AT] !== TCP) return false;
  const portsAt = IP_AT + 4 * ((frame[IP_AT] ?? 0) & 0xf);
  if (frame.length < portsAt + 4) return false;
  return frame.readUInt16BE(portsAt) === port || frame.readUInt16BE(portsAt + 2) === port;
}

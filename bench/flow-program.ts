// Program: makes new flows from the network namespace it was started in and says what they cost.
//
// A frame that is sent into a veth pair is worked on at once, on the sender's own processor and
// time: prerouting, forwarding, postrouting, up to the next namespace's socket or drop, and what
// that one answers. So the sender's processor time is the flow's, whatever else the machine does.

import { once } from "node:events";
import { connect } from "node:net";
import { answerCalls } from "../playground/line-calls.ts";
import { bind, close, send, SOCK_RAW, socket } from "../lib/sys/ffi.ts";
import { FIRST_PORT, type FlowCalls } from "./flow-calls.ts";
import { makeFrame } from "./frame.ts";
import { machineMs } from "./machine-clock.ts";

const AF_PACKET = 17;
const SOCKADDR_LL_BYTES = 20;

answerCalls<FlowCalls>({
  flood({ interfaceIndex, frame: facts, flows, packets }) {
    const fd = openPacketSocket(interfaceIndex);
    try {
      const frame = makeFrame(facts);
      const before = process.cpuUsage();
      for (let i = 0; i < packets; i++) {
        frame.setSourcePort(FIRST_PORT + (i % flows));
        send(fd, frame.bytes);
      }
      const { user, system } = process.cpuUsage(before);
      return { cpuNs: ((user + system) * 1_000) / packets };
    } finally {
      close(fd);
    }
  },
  async connect({ target: { address: host, port }, count }) {
    const durationsUs: number[] = [];
    for (let i = 0; i < count; i++) {
      const startMs = machineMs();
      const connection = connect({ host, port });
      await once(connection, "connect");
      durationsUs.push((machineMs() - startMs) * 1_000);
      connection.resetAndDestroy();
    }
    return { durationsUs };
  },
});

/** A packet socket that only sends: with protocol 0 nothing is queued for it. */
function openPacketSocket(interfaceIndex: number): number {
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  const address = new DataView(new ArrayBuffer(SOCKADDR_LL_BYTES));
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, interfaceIndex, true);
  bind(fd, new Uint8Array(address.buffer));
  return fd;
}

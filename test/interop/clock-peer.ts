// A node whose clock is not ours: keeps a certificate for one pod, serves tunnels to it, and begins
// some. What signs is the test, whose clock is right.

import { X509Certificate } from "node:crypto";
import { createInterface } from "node:readline";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { KeyKeeper } from "../../netpol-identity/apply/key-keeper.ts";
import type { ClockPeerOptions, FromClockPeer, ToClockPeer } from "./clock-peer-protocol.ts";
import { TunnelNode } from "./tunnel-node.ts";

const BEAT_MS = 200;

const options = JSON.parse(process.argv[2] ?? "") as ClockPeerOptions;
const { identity, address, peer, root } = options;
const tell = (message: FromClockPeer): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

const node = new TunnelNode({
  bundles: { "cluster.local": root },
  pods: [{ address, uri: identity }],
  peers: [{ address: peer.address, uri: peer.identity }],
});
const waiting = new Map<number, (chain: readonly string[]) => void>();
let wishes = 0;
const keeper = new KeyKeeper({
  sign: (csr) =>
    new Promise((resolve) => {
      const id = ++wishes;
      waiting.set(id, (chain) => resolve({ chain }));
      tell({ kind: "sign", id, csr: csr.toString("base64") });
    }),
  bundles: () => new Map([["cluster.local", [new X509Certificate(root)]]]),
  bannedUntilMs: () => -Infinity,
  clock: systemClock,
  random: Math.random,
  onChange: () => node.prove(identity, keeper.credentials.get(identity)),
  onEvent: ({ kind }) => tell({ kind }),
});

createInterface(process.stdin).on("line", (line) => {
  const message = JSON.parse(line) as ToClockPeer;
  if (message.kind === "signed") return waiting.get(message.id)?.(message.chain);
  const { id, target } = message;
  void node.exchange(address, target, Buffer.from("hello")).then(({ code, received }) => {
    tell({ kind: "exchanged", id, answer: code === "" ? received.toString() : code });
  });
});
setInterval(() => {
  tell({ kind: "beat", wallMs: Date.now(), handshakes: node.handshakes() });
}, BEAT_MS);
keeper.need(new Set([identity]));
await keeper.run(new AbortController().signal);

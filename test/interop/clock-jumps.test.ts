// Fault F10 in a tunnel: the clock of one node is days ahead or behind, from its start or while it
// runs. What is over by it is refused and ends, nobody is asked without a pause, all else goes on,
// and with the right time everything is as before.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { decodeCsr } from "../../lib/x509/csr.ts";
import { parseSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { CertificateAuthority } from "../../netpol-identity/ca/authority.ts";
import { makeRootMaterial } from "../../netpol-identity/ca/root-material.ts";
import { asSupplied, readMaterial } from "../../netpol-identity/ca/root-supplied.ts";
import { enterOwnNamespace, sh } from "../netns/own-namespace.ts";
import { until } from "../netns/served-node.ts";
import { ClockPeer } from "./clock-peer-process.ts";
import { EchoServer } from "./echo-server.ts";
import { MovingClock } from "../netns/moving-clock.ts";
import { TunnelNode } from "./tunnel-node.ts";

enterOwnNamespace();

const DAY_MS = 86_400_000;
const TOLERANCE_MS = 60_000;
/** A wrong clock is looked at for so long; meanwhile its pauses double from 100 ms on. */
const WATCHED_MS = 8_000;
const MOST_ASKED = 12;
/** A pause may have come to that by then. */
const RECOVERS_WITHIN_MS = 120_000;
const WELL = "hello, hello";
const trustDomain = "cluster.local";
const OURS = `spiffe://${trustDomain}/ns/shop/sa/cart`;
const THEIRS = `spiffe://${trustDomain}/ns/shop/sa/web`;
const [OUR_POD, THEIR_POD] = ["10.1.0.2", "10.1.0.3"];
for (const address of [OUR_POD, THEIR_POD]) sh(`ip address add ${address}/32 dev lo`);

// Old enough for a clock that is behind.
const made = makeRootMaterial({ trustDomain, nowMs: Date.now() - 10 * DAY_MS, randomBytes });
const read = readMaterial(asSupplied(made), { trustDomain, nowMs: Date.now() });
assert(read.kind === "ok");
const { signer, material } = read;
const shared = { trustDomain, signer, roots: material.roots, clock: systemClock, randomBytes };
/** Ours lasts a day, and theirs a week. */
const issue = (publicKey: KeyObject, uri: string, leafLifetimeMs: number): readonly string[] => {
  const identity = parseSpiffeId(uri);
  assert(identity !== undefined);
  const authority = new CertificateAuthority({ ...shared, leafLifetimeMs });
  return authority.issue({ publicKey, identity, node: "node-1" }).chain;
};

const root = material.roots.join("");
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const node = new TunnelNode({
  bundles: { [trustDomain]: root },
  pods: [
    {
      address: OUR_POD,
      uri: OURS,
      credential: {
        chain: issue(publicKey, OURS, DAY_MS).join(""),
        key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      },
    },
  ],
  peers: [{ address: THEIR_POD, uri: THEIRS }],
});
const echo = await new EchoServer().listen(OUR_POD);
const theirEcho = await new EchoServer().listen(THEIR_POD);
/** Takes connections of their pod, and says nothing. */
const silent = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}));
await once(silent.listen(0, THEIR_POD), "listening");
const directory = await mkdtemp(join(tmpdir(), "innermesh-clock-"));
after(async () => {
  node[Symbol.dispose]();
  silent.close();
  await echo[Symbol.asyncDispose]();
  await theirEcho[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

interface Wrong {
  readonly offset: string;
  readonly offsetMs: number;
  /** What shows that it is refused, among handshakes and what became of certificates. */
  readonly fromStart: string;
  readonly meanwhile: string;
}

const WRONG: readonly Wrong[] = [
  { offset: "+3d", offsetMs: 3 * DAY_MS, fromStart: "server expired", meanwhile: "server expired" },
  // Its own certificate is over as well.
  { offset: "+10d", offsetMs: 10 * DAY_MS, fromStart: "failed", meanwhile: "expired" },
  { offset: "-3d", offsetMs: -3 * DAY_MS, fromStart: "failed", meanwhile: "server not-yet-valid" },
];

for (const { offset, offsetMs, fromStart, meanwhile } of WRONG) {
  test(`a clock that is wrong by ${offset} from the start`, async () => {
    const clock = await MovingClock.make(join(directory, `from-start${offset}`), offset);
    await using peer = startPeer(clock);
    await assertRefused(peer, offsetMs, fromStart);
    await clock.set("+0");
    await until("both ways", async () => (await talk(peer)) === WELL, RECOVERS_WITHIN_MS);
  });

  test(`a clock that jumps by ${offset}`, async () => {
    const clock = await MovingClock.make(join(directory, `jump${offset}`), "+0");
    await using peer = startPeer(clock);
    await until("a certificate", () => peer.events.includes("issued"));
    // By a clock that is set back nothing is over: what was proven goes on.
    const held = offsetMs > 0 ? hold(peer) : undefined;
    await held?.open;
    await clock.set(offset);
    if (held !== undefined) assert.notEqual(await held.code, "");
    await assertRefused(peer, offsetMs, meanwhile);
    await clock.set("+0");
    await until("both ways again", async () => (await talk(peer)) === WELL, RECOVERS_WITHIN_MS);
  });
}

function startPeer(clock: MovingClock): ClockPeer {
  const peer = { identity: OURS, address: OUR_POD };
  return new ClockPeer(clock, { identity: THEIRS, address: THEIR_POD, peer, root }, (csr) => {
    const request = decodeCsr(csr);
    assert(request.kind === "ok");
    return issue(request.publicKey, THEIRS, 7 * DAY_MS);
  });
}

/** Connections both ways, and one to their pod that nobody ends. */
function hold(peer: ClockPeer): {
  readonly open: Promise<unknown>;
  readonly code: Promise<string>;
} {
  const { port } = silent.address() as AddressInfo;
  const connected = once(silent, "connection");
  const held = node.exchange(OUR_POD, `${THEIR_POD}:${port}`, Buffer.from("hello"));
  const both = until("both ways", async () => (await talk(peer)) === WELL);
  return { open: Promise.all([both, connected]), code: held.then(({ code }) => code) };
}

async function assertRefused(peer: ClockPeer, offsetMs: number, proof: string): Promise<void> {
  const isOff = async (): Promise<boolean> =>
    Math.abs((await peer.aheadMs()) - offsetMs) < TOLERANCE_MS;
  await until("the wrong time: is faketime installed?", isOff);
  const before = peer.asked;
  await delay(WATCHED_MS);
  const asked = peer.asked - before;
  assert(asked <= MOST_ASKED, `asked ${asked} times in ${WATCHED_MS} ms`);
  const answer = await talk(peer);
  assert(!answer.includes("hello"), answer);
  await until(proof, () => [...peer.handshakes, ...peer.events].includes(proof));
  assert(await isOff());
}

/** An exchange from our pod to theirs, and one from theirs to ours. */
async function talk(peer: ClockPeer): Promise<string> {
  const [to, back] = await Promise.all([
    node.exchange(OUR_POD, theirEcho.address, Buffer.from("hello")),
    peer.exchange(echo.address),
  ]);
  return `${to.code === "" ? to.received.toString() : to.code}, ${back}`;
}

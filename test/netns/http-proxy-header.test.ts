// The PROXY protocol in the L7 lane: kept connections are a client's own, and each begins with one
// header that names it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { addressBytes } from "../../lib/ip/address.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { BACKEND_PORT, SERVICE_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import { FaultRig } from "./fault-rig.ts";
import type { ToldByHeader } from "./proxy-header-backend.ts";
import { FAMILIES } from "./served-node.ts";

const PROGRAM = fileURLToPath(new URL("./proxy-header-backend.ts", import.meta.url));
const ANNOTATIONS = { "innermesh.io/proxy-protocol": "v2" };
/** A Service over a backend of each version, and one without the annotation. */
const NUMBERS = { http1: 1, http2: 2 } as const;
const PLAIN = 3;
const PODS = { http1: "pod-2-1", http2: "pod-2-2" } as const;
const SENDERS = ["pod-1-1", "pod-1-2", "client"];
/** Signature, version and command, family and protocol, length of what follows. */
const STARTS = { ip: "0d0a0d0a000d0a515549540a2111000c", ip6: "0d0a0d0a000d0a515549540a21210024" };
const PORT_BYTES = 2;

describe("the PROXY protocol in the L7 lane", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({ podsPerNode: 3, backends: { "pod-2-3": "http1" } });
    for (const [protocol, name] of Object.entries(PODS)) {
      const argv = [process.execPath, PROGRAM, String(BACKEND_PORT), protocol];
      const stdio = ["ignore", "pipe", "inherit"] as const;
      const { netns } = rig.host(name);
      const { stdout } = rig.served.playground.spawn(netns, argv, { stdio: [...stdio] });
      await once(stdout ?? assert.fail(), "data");
    }
    await rig.put({
      [NUMBERS.http1]: { pods: [PODS.http1], annotations: ANNOTATIONS },
      [NUMBERS.http2]: { pods: [PODS.http2], annotations: ANNOTATIONS, h2: true },
      [PLAIN]: { pods: ["pod-2-3"] },
    });
    await rig.start(PLAIN);
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Three requests on one connection of the client. @returns what the backend was told */
  async function told(from: string, number: number, family: Family): Promise<ToldByHeader[]> {
    const get = (more: string): string => `GET / HTTP/1.1\r\nHost: told\r\n${more}\r\n`;
    const { received, end } = await rig.client(from).call("exchange", {
      ...rig.served.address("cluster", number, family),
      writes: [{ bytes: get("") + get("") + get("Connection: close\r\n") }],
      forMs: 10_000,
    });
    assert.equal(end, "fin", received);
    const bodies = received.match(/\{.*?\}/g) ?? [];
    assert.equal(bodies.length, 3, received);
    return bodies.map((body) => JSON.parse(body) as ToldByHeader);
  }

  for (const [protocol, number] of Object.entries(NUMBERS)) {
    for (const family of FAMILIES) {
      test(`${protocol}, ${family}: each connection begins with its client's header`, async () => {
        const connections = new Map<number, string>();
        // In turn and again: what one client left open is there when the next one comes.
        for (const from of [...SENDERS, ...SENDERS]) {
          const { address } = rig.served.address("cluster", number, family);
          const named = hexOf(rig.host(from).addresses[family]) + hexOf(address);
          for (const { connection, header } of await told(from, number, family)) {
            assert(header.startsWith(STARTS[family] + named), `${header} names ${from}`);
            const port = Number.parseInt(header.slice(-2 * PORT_BYTES), 16);
            assert.equal(port, SERVICE_PORT);
            assert.equal(connections.get(connection) ?? from, from);
            connections.set(connection, from);
          }
        }
        assert.equal(connections.size, SENDERS.length, "each client's was kept and used again");
      });
    }
  }
});

function hexOf(address: string): string {
  return Buffer.from(addressBytes(address)).toString("hex");
}

// Nobody sends as another: forged frames from a pod are delivered to nobody and are counted, in
// both shapes of a node's network. T1, T2 of the threat list.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { advertisementFrame, arpFrame, routerFrame, udpFrame } from "./identity-frames.ts";
import { IdentityRig } from "./identity-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const MODES = { "pod-1-1": "permissive" } as const;
const FORGER = "pod-1-2";
const FORGER_MAC = "02:71:00:00:01:02";
const ROUTED_MAC = "ee:ee:ee:ee:ee:ee";
const FORGER_LINK_LOCAL = { routed: "fe80::2", bridge: "fe80::3" } as const;
const TIMES = 5;

for (const cni of ["routed", "bridge"] as const) {
  describe(`anti-spoofing, pods ${cni}`, () => {
    let rig: IdentityRig;
    let gateway = ROUTED_MAC;
    before(async () => {
      rig = await IdentityRig.build(cni, MODES);
      if (cni === "routed") return;
      const [link] = JSON.parse(await rig.served.run("ip", "-j", "link", "show", "cni0"));
      gateway = link.address;
    });
    after(() => rig[Symbol.asyncDispose]());

    /** How many datagrams a pod's applications were given so far. */
    const received = async (name: string): Promise<number> => {
      const argv = ["nstat", "-asz", "UdpInDatagrams", "Udp6InDatagrams"];
      const { stdout } = await rig.served.playground.exec(rig.pod(name).netns, argv);
      const counts = [...stdout.matchAll(/InDatagrams\s+(\d+)/g)].map(([, n]) => Number(n));
      return counts.reduce((a, b) => a + b, 0);
    };
    const spoofed = async (): Promise<number> => (await rig.agent.call("counts", {})).spoofed;
    const sendAll = async (frame: Buffer): Promise<void> => {
      for (let i = 0; i < TIMES; i++) await rig.sendFrame(FORGER, frame);
    };

    for (const family of FAMILIES) {
      test(`${family}: a datagram with its sender's own address arrives`, async () => {
        const [from, to] = [
          rig.pod(FORGER).addresses[family],
          rig.pod("pod-2-2").addresses[family],
        ];
        const before = await received("pod-2-2");
        await sendAll(udpFrame({ from: FORGER_MAC, to: gateway }, { from, to }));
        await until("the datagrams", async () => (await received("pod-2-2")) === before + TIMES);
      });

      for (const victim of ["pod-1-1", "pod-2-1", "client"]) {
        test(`${family}: as ${victim} nothing arrives, and all is counted`, async () => {
          const { client } = rig.served.playground;
          const from = (victim === "client" ? client : rig.pod(victim)).addresses[family];
          const to = rig.pod("pod-2-2").addresses[family];
          const [arrived, counted] = [await received("pod-2-2"), await spoofed()];
          await sendAll(udpFrame({ from: FORGER_MAC, to: gateway }, { from, to }));
          assert.equal(await spoofed(), counted + TIMES);
          assert.equal(await received("pod-2-2"), arrived);
        });
      }

      test(`${family}: from outside nobody speaks for a pod of this node`, async () => {
        const { playground, node } = rig.served;
        const [from, to] = [
          rig.pod("pod-1-1").addresses[family],
          rig.pod(FORGER).addresses[family],
        ];
        const [arrived, counted] = [await received(FORGER), await spoofed()];
        const program = new URL("./raw-frame.ts", import.meta.url).pathname;
        const target = await playground.exec(node.netns, ["ip", "-j", "link", "show", "eth0"]);
        const [{ address }] = JSON.parse(target.stdout);
        const hex = udpFrame({ from: FORGER_MAC, to: address }, { from, to }).toString("hex");
        const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program];
        const sent = await playground.exec(playground.client.netns, [...argv, "eth0", hex]);
        assert.equal(sent.code, 0, sent.stderr);
        await until("the count", async () => (await spoofed()) === counted + 1);
        assert.equal(await received(FORGER), arrived);
      });
    }

    test("an ARP reply for another's address changes no neighbour", async () => {
      const counted = await spoofed();
      await sendAll(arpFrame(FORGER_MAC, rig.pod("pod-1-1").addresses.ip));
      assert.equal(await spoofed(), counted + TIMES);
      assert.equal(await mapsTo(rig.pod("pod-1-1").addresses.ip), false);
    });

    test("an advertisement of another's address changes no neighbour", async () => {
      const counted = await spoofed();
      const target = rig.pod("pod-1-1").addresses.ip6;
      for (const source of [FORGER_LINK_LOCAL[cni], rig.pod(FORGER).addresses.ip6]) {
        await sendAll(advertisementFrame(FORGER_MAC, source, target));
      }
      assert.equal(await spoofed(), counted + 2 * TIMES);
      assert.equal(await mapsTo(target), false);
    });

    test("a pod that nobody has told of yet cannot take another's address either", async () => {
      const { playground, node } = rig.served;
      const pod = await playground.addPod(node);
      const mac = "02:71:00:00:01:03";
      const [counted, arrived] = [await spoofed(), await received("pod-2-2")];
      for (const family of FAMILIES) {
        const from = rig.pod("pod-1-1").addresses[family];
        const to = rig.pod("pod-2-2").addresses[family];
        await rig.sendFrame(pod.name, udpFrame({ from: mac, to: gateway }, { from, to }));
      }
      if (cni === "bridge")
        await rig.sendFrame(pod.name, arpFrame(mac, rig.pod("pod-1-1").addresses.ip));
      assert.equal(await spoofed(), counted + (cni === "bridge" ? 3 : 2));
      assert.equal(await received("pod-2-2"), arrived);
      await playground.removePod(pod);
    });

    test("a pod is no router", async () => {
      const counted = await spoofed();
      await sendAll(routerFrame(FORGER_MAC, FORGER_LINK_LOCAL[cni]));
      assert.equal(await spoofed(), counted + TIMES);
    });

    /** The node holds the forger for an address's owner. */
    async function mapsTo(address: string): Promise<boolean> {
      const list = await rig.served.run("ip", "neigh", "show", address);
      return list.includes(FORGER_MAC);
    }

    test("after all of that pods reach each other", async () => {
      for (const family of FAMILIES) {
        assert.equal(await rig.ask(FORGER, "pod-1-1", family), "pod-1-1");
        assert.equal(await rig.ask("node-1", FORGER, family), FORGER);
      }
    });
  });
}

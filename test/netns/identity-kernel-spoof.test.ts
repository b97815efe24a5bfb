// Nobody sends as another: forged frames from a pod are delivered to nobody and are counted, in
// both shapes of a node's network. T1, T2 of the threat list.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  advertisementFrame,
  arpFrame,
  echoFrame,
  routerFrame,
  taggedFrame,
  udpFrame,
  vxlanFrame,
} from "./identity-frames.ts";
import { IdentityRig } from "./identity-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const MODES = { "pod-1-1": "permissive" } as const;
const FORGER = "pod-1-2";
const VICTIM_MAC = "02:71:00:00:01:01";
const FORGER_MAC = "02:71:00:00:01:02";
const ROUTED_MAC = "ee:ee:ee:ee:ee:ee";
const FORGER_LINK_LOCAL = { routed: "fe80::2", bridge: "fe80::3" } as const;
const VXLAN_MAC = "02:71:00:00:00:42";
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

    test("no frame with a VLAN tag arrives: the IP hooks of a bridge would not see it", async () => {
      const to = cni === "bridge" ? "pod-1-1" : "pod-2-2";
      const [arrived, counted] = [await received(to), await spoofed()];
      for (const family of FAMILIES) {
        const addresses = {
          from: rig.pod(FORGER).addresses[family],
          to: rig.pod(to).addresses[family],
        };
        const mac = cni === "bridge" ? VICTIM_MAC : gateway;
        const plain = udpFrame({ from: FORGER_MAC, to: mac }, addresses);
        for (const tag of ["8021q", "8021ad"] as const) {
          await rig.sendFrame(FORGER, taggedFrame(plain, tag));
        }
      }
      assert.equal(await spoofed(), counted + 4);
      assert.equal(await received(to), arrived);
    });

    test("what the node takes out of a pod's VXLAN packet is not that pod's word", async () => {
      const run = (...argv: string[]): Promise<string> => rig.served.run(...argv);
      const device = ["type", "vxlan", "id", "42", "dstport", "8472", "dev", "eth0"];
      await run("ip", "link", "add", "vx0", "address", VXLAN_MAC, ...device);
      await run("sysctl", "-qw", "net.ipv4.conf.vx0.rp_filter=2");
      await run("ip", "link", "set", "vx0", "up");
      const [arrived, counted] = [await received("pod-2-2"), await spoofed()];
      const outer = { from: rig.pod(FORGER).addresses.ip, to: rig.served.node.addresses.ip };
      for (const family of FAMILIES) {
        const from = rig.pod("pod-1-1").addresses[family];
        const to = rig.pod("pod-2-2").addresses[family];
        const inner = udpFrame({ from: FORGER_MAC, to: VXLAN_MAC }, { from, to });
        const frame = vxlanFrame({ from: FORGER_MAC, to: gateway }, outer, 42, inner);
        await rig.sendFrame(FORGER, frame);
      }
      await until("the count", async () => (await spoofed()) === counted + 2);
      assert.equal(await received("pod-2-2"), arrived);
      await run("ip", "link", "delete", "vx0");
    });

    test("an echo from a link-local address, which no policy knows, goes nowhere", async () => {
      const counted = await spoofed();
      const addresses = { from: FORGER_LINK_LOCAL[cni], to: "fe80::1" };
      await sendAll(echoFrame({ from: FORGER_MAC, to: gateway }, addresses));
      assert.equal(await spoofed(), counted + TIMES);
    });

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

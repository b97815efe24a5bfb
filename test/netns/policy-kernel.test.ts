// Policies held by the kernel, with real packets, in both shapes of a node's network.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import {
  sampleList,
  samplePeers,
  sampleRule,
  sampleSet,
} from "../../netpol-identity/evaluate/sample-set.ts";
import { solicitationFrame } from "./identity-frames.ts";
import { APPLICATION_PORT } from "./identity-rig.ts";
import { PolicyKernelRig } from "./policy-kernel-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const POD = "pod-1-1";
const NEIGHBOUR = "pod-1-2";
const SENDERS = [NEIGHBOUR, "pod-2-1", "pod-2-2", "client", "node-2"] as const;
const FRIENDS = samplePeers({ groups: ["friends"] });
const DENY_ALL = sampleSet({ id: "deny", network: sampleList() });
const inBoth = async (check: (family: Family) => Promise<void>): Promise<void> => {
  await Promise.all(FAMILIES.map(check));
};
const port = (protocol: "TCP" | "UDP", first: number, last = first) => ({ protocol, first, last });

for (const cni of ["routed", "bridge"] as const) {
  describe(`policies, pods ${cni}`, () => {
    let rig: PolicyKernelRig;
    before(async () => {
      rig = await PolicyKernelRig.build(cni);
    });
    after(() => rig[Symbol.asyncDispose]());

    test("a pod that is not isolated hears everybody, one that allows nobody only its node", async () => {
      await inBoth(async (family) => {
        assert.deepEqual(await rig.heard(SENDERS, POD, family), SENDERS);
      });
      await rig.hold({ [POD]: { ingress: DENY_ALL } });
      await inBoth(async (family) => {
        const all = [...SENDERS, "node-1"];
        for (const protocol of ["tcp", "udp"] as const) {
          assert.deepEqual(await rig.heard(all, POD, family, protocol), ["node-1"]);
          assert.equal(await rig.ask(POD, NEIGHBOUR, family, protocol), NEIGHBOUR);
          assert.equal(await rig.ask(POD, "pod-2-1", family, protocol), "pod-2-1");
        }
      });
      const denials = await rig.agent.call("denials", {});
      assert(denials.in >= 2 * 2 * SENDERS.length, JSON.stringify(denials));
    });

    test("friends are heard on the ports that are theirs", async () => {
      const network = sampleList(
        sampleRule({
          peers: FRIENDS,
          ports: [port("TCP", APPLICATION_PORT - 5, APPLICATION_PORT)],
        }),
      );
      const groups = { friends: rig.addresses(NEIGHBOUR, "pod-2-1") };
      await rig.hold({ [POD]: { ingress: sampleSet({ id: "f", network }) } }, { groups });
      await inBoth(async (family) => {
        assert.deepEqual(await rig.heard(SENDERS, POD, family), [NEIGHBOUR, "pod-2-1"]);
        assert.deepEqual(await rig.heard(SENDERS, POD, family, "udp"), []);
      });
    });

    test("a block lets in whom it does not except, over the protocol that is named", async () => {
      const blocks = (["ip", "ip6"] as const).map((family) => ({
        cidr: family === "ip" ? "10.71.0.0/16" : "fd71::/16",
        except: [`${rig.address("pod-2-2", family)}/${family === "ip" ? 32 : 128}`],
      }));
      const peers = samplePeers({ blocks });
      const network = sampleList(sampleRule({ peers, ports: [port("UDP", APPLICATION_PORT)] }));
      await rig.hold({ [POD]: { ingress: sampleSet({ id: "b", network }) } });
      await inBoth(async (family) => {
        assert.deepEqual(await rig.heard(SENDERS, POD, family), []);
        const heard = await rig.heard(SENDERS, POD, family, "udp");
        assert.deepEqual(heard, [NEIGHBOUR, "pod-2-1"]);
      });
    });

    test("a pod speaks to whom its own policies allow", async () => {
      const network = sampleList(sampleRule({ peers: FRIENDS }));
      const egress = sampleSet({ id: "e", direction: "egress", network });
      const groups = { friends: rig.addresses("pod-2-1") };
      await rig.hold({ [POD]: { egress } }, { groups });
      await inBoth(async (family) => {
        const targets = [NEIGHBOUR, "pod-2-1", "pod-2-2"];
        const answers = await Promise.all(targets.map((to) => rig.ask(POD, to, family)));
        assert.deepEqual(answers, ["timeout", "pod-2-1", "timeout"]);
        assert.deepEqual(await rig.heard(SENDERS, POD, family), SENDERS);
      });
    });

    test("a flow that stands ends when it is denied, and does not come back to life", async () => {
      const network = sampleList(sampleRule({ peers: FRIENDS }));
      const ingress = sampleSet({ id: "f2", network });
      const all = { friends: rig.addresses(NEIGHBOUR, "pod-2-1") };
      await rig.hold({ [POD]: { ingress } }, { groups: all });
      for (const family of FAMILIES) {
        const address = rig.address(POD, family);
        const [one, other] = await Promise.all(
          [NEIGHBOUR, "pod-2-1"].map((from) =>
            rig.served.probe(from).open(address, APPLICATION_PORT),
          ),
        );
        assert(one?.kind === "open" && other?.kind === "open");
        await rig.hold({ [POD]: { ingress } }, { groups: { friends: rig.addresses("pod-2-1") } });
        await until("silence", async () => (await one.say("still there?")).kind !== "reply");
        assert.equal((await other.say("and you?")).kind, "reply");
        const { ended } = await rig.agent.call("denials", {});
        assert(ended > 0);
        await Promise.all([one.close(), other.close()]);
        await rig.hold({ [POD]: { ingress } }, { groups: all });
      }
    });

    test("an address that nobody is known to have waits for its pod", async () => {
      const podCidrs = FAMILIES.map((family) =>
        family === "ip" ? `${rig.address(POD, family)}/32` : `${rig.address(POD, family)}/128`,
      );
      const pods = [{ addresses: rig.addresses(NEIGHBOUR) }];
      await rig.hold({}, { pods, hold: true, podCidrs });
      await inBoth(async (family) => {
        assert.deepEqual(await rig.heard([...SENDERS, "node-1"], POD, family), ["node-1"]);
        assert.equal(await rig.ask(POD, NEIGHBOUR, family), "timeout");
        assert.deepEqual(await rig.heard(["pod-2-1"], NEIGHBOUR, family), ["pod-2-1"]);
      });
      await rig.hold({});
      assert.deepEqual(await rig.heard(SENDERS, POD, "ip"), SENDERS);
    });

    test("what neighbours say to each other stays on their bridge", async () => {
      const network = sampleList(sampleRule({ ports: [port("TCP", APPLICATION_PORT)] }));
      await rig.hold({ [POD]: { egress: sampleSet({ direction: "egress", network }) } });
      await rig.run(POD, ["ip", "-6", "neigh", "flush", "dev", "eth0"]);
      assert.equal(await rig.ask(POD, NEIGHBOUR, "ip6"), NEIGHBOUR);
      assert.equal(await rig.ask(POD, "pod-2-1", "ip6"), "pod-2-1");
      const neighbours = await rig.run(POD, ["ip", "-6", "neigh", "show", "dev", "eth0"]);
      const gateway = /lladdr (\S+) router/.exec(neighbours)?.[1] ?? assert.fail(neighbours);
      const [from, to] = [rig.address(POD, "ip6"), rig.address("pod-2-1", "ip6")];
      const before = await rig.agent.call("denials", {});
      const asked = solicitationFrame({ from: "02:71:00:00:01:01", to: gateway }, { from, to });
      await rig.sendFrame(POD, asked);
      await until("its denial", async () => {
        return (await rig.agent.call("denials", {})).out > before.out;
      });
    });

    test("an isolated pod reaches itself by a translated address", async () => {
      const pod = rig.address(POD, "ip");
      await rig.served.run("nft", hairpin("192.0.2.77", pod));
      const ask = async (): Promise<string> =>
        (await rig.served.probe(POD).tcp("192.0.2.77", APPLICATION_PORT)).kind;
      await rig.hold({
        [POD]: { ingress: DENY_ALL, egress: { ...DENY_ALL, direction: "egress" } },
      });
      assert.equal(await ask(), "reply");
      await rig.served.run("nft", "delete table ip hairpin");
    });

    test("what somebody emptied is back after an audit, and what comes and goes is no drift", async () => {
      await rig.hold({ [POD]: { ingress: DENY_ALL } });
      assert.deepEqual(await rig.agent.call("audit", {}), []);
      await rig.served.run("nft", "flush set ip innermesh-policy isolated");
      assert.deepEqual(await rig.agent.call("audit", {}), ["set ip isolated differs"]);
      assert.deepEqual(await rig.agent.call("audit", {}), []);
      await rig.hold({});
      const listed = await rig.served.run("nft", "list", "chains");
      assert.doesNotMatch(listed, /chain (in|out)-/);
    });
  });
}

function hairpin(service: string, pod: string): string {
  const nat = (hook: string, priority: number): string =>
    `{ type nat hook ${hook} priority ${priority}; }`;
  return [
    "add table ip hairpin",
    `add chain ip hairpin in ${nat("prerouting", -100)}`,
    `add chain ip hairpin out ${nat("postrouting", 100)}`,
    `add rule ip hairpin in ip daddr ${service} dnat to ${pod}`,
    `add rule ip hairpin out ct status dnat ip saddr ${pod} masquerade`,
  ].join("; ");
}

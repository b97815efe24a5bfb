// Identities held by the kernel, with real packets, in both shapes of a node's network: nobody
// sends as another, strict pods take nothing but tunnels, and tunnels and calls reach their doors.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Entry } from "../../service-proxy/plan/packet-cases.ts";
import { parseEchoReply } from "../../playground/echo-protocol.ts";
import { udpFrame } from "./identity-frames.ts";
import { answerOf, APPLICATION_PORT, IdentityRig } from "./identity-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const MODES = { "pod-1-1": "strict", "pod-1-2": "permissive", "pod-2-1": "strict" } as const;
const STRICT_SERVICE = 1;
const OPEN_SERVICE = 2;
const FAR_SERVICE = 3;
const SHARED_PORT = 40_000;
const TUNNEL = { port: 15_008 } as const;

for (const cni of ["routed", "bridge"] as const) {
  describe(`identities, pods ${cni}`, () => {
    let rig: IdentityRig;
    before(async () => {
      rig = await IdentityRig.build(cni, MODES);
      await rig.served.serve(
        { number: STRICT_SERVICE, pods: ["pod-1-1"], spec: { type: "NodePort" } },
        { number: OPEN_SERVICE, pods: ["pod-1-2"], spec: { type: "NodePort" } },
        { number: FAR_SERVICE, pods: ["pod-2-1"] },
      );
      await rig.startServing();
    });
    after(() => rig[Symbol.asyncDispose]());

    for (const family of FAMILIES) {
      test(`${family}: tunnels to enrolled pods reach the door, with the client's address`, async () => {
        const { client, nodes } = rig.served.playground;
        for (const host of [...rig.served.pods, client, ...nodes.slice(1)]) {
          for (const to of ["pod-1-1", "pod-1-2"]) {
            if (host.name === to) continue;
            const address = rig.pod(to).addresses[family];
            const result = await rig.served.probe(host.name).tcp(address, TUNNEL.port);
            assert(result.kind === "reply", `${host.name} → ${to}: ${result.kind}`);
            const { pod, client: seen, local } = result.echo ?? {};
            assert.deepEqual([pod, seen], ["tunnel", host.addresses[family]]);
            assert.equal(local, `${family === "ip" ? address : `[${address}]`}:15008`);
          }
        }
      });

      test(`${family}: direct calls of enrolled pods to such reach the third door`, async () => {
        for (const [from, to] of [
          ["pod-1-1", "pod-2-1"],
          ["pod-1-2", "pod-2-1"],
          ["pod-1-1", "pod-1-2"],
          ["pod-1-2", "pod-1-1"],
        ] as const) {
          assert.equal(await rig.ask(from, to, family), "direct", `${from} → ${to}`);
        }
      });

      test(`${family}: a door takes calls from a port that one to a Service had before`, async () => {
        const call = async (address: string, port: number): Promise<string> => {
          const options = { sourcePort: SHARED_PORT };
          return answerOf(await rig.served.probe("pod-1-2").tcp(address, port, options));
        };
        // Its replies come from the pod as well: conntrack tells the two apart by another port.
        const { address, port } = rig.served.address("cluster", FAR_SERVICE, family);
        assert.equal(await call(address, port), "pod-2-1");
        assert.equal(await call(rig.pod("pod-2-1").addresses[family], APPLICATION_PORT), "direct");
      });

      test(`${family}: a strict pod takes no plaintext from anywhere`, async () => {
        const answers = ["pod-2-1", "pod-2-2", "client", "node-2", "lb"].flatMap((from) =>
          (["tcp", "udp"] as const).map((protocol) =>
            rig.ask(from, "pod-1-1", family, { protocol }),
          ),
        );
        answers.push(rig.ask("pod-1-2", "pod-1-1", family, { protocol: "udp" }));
        for (const answer of await Promise.all(answers)) assert.equal(answer, "timeout");
      });

      test(`${family}: nor by a Service's address, a NodePort, or from itself that way`, async () => {
        const ask = async (from: string, entry: Entry, number: number): Promise<string> => {
          const { address, port } = rig.served.address(entry, number, family);
          return answerOf(await rig.served.probe(from).tcp(address, port));
        };
        for (const [from, entry] of [
          ["pod-1-2", "cluster"],
          ["client", "cluster"],
          ["client", "nodePort"],
          ["pod-1-1", "cluster"],
        ] as const) {
          assert.equal(await ask(from, entry, STRICT_SERVICE), "timeout", `${from} ${entry}`);
          if (from === "pod-1-1") continue;
          assert.equal(await ask(from, entry, OPEN_SERVICE), "pod-1-2", `${from} ${entry}`);
        }
      });

      test(`${family}: a connection in plaintext ends as its pod becomes strict`, async () => {
        const address = rig.pod("pod-1-2").addresses[family];
        const open = await rig.served.probe("pod-2-2").open(address, APPLICATION_PORT);
        assert(open.kind === "open", JSON.stringify(open));
        assert.equal((await open.say("one")).kind, "reply");
        await rig.hold({ ...MODES, "pod-1-2": "strict" });
        assert.equal((await open.say("two")).kind, "timeout");
        await open.close();
        await rig.hold(MODES);
      });

      test(`${family}: a worker reaches strict pods in its client's name`, async () => {
        const to = rig.pod("pod-1-1").addresses[family];
        for (const client of [rig.pod("pod-1-2"), rig.pod("pod-2-1")]) {
          const from = client.addresses[family];
          const line = await rig.door.call("dial", { from, to, port: APPLICATION_PORT });
          const echo = parseEchoReply(line);
          assert.deepEqual([echo?.pod, echo?.client], ["pod-1-1", from], line);
        }
      });

      test(`${family}: host processes are refused at the tunnel's port`, async () => {
        for (const to of ["pod-1-1", "pod-1-2"]) {
          assert.equal(await rig.ask("node-1", to, family, TUNNEL), "refused");
        }
      });

      test(`${family}: a permissive pod takes plaintext, as one that is not enrolled`, async () => {
        for (const from of ["pod-2-2", "client", "node-1", "node-2"]) {
          assert.equal(await rig.ask(from, "pod-1-2", family), "pod-1-2", from);
        }
      });

      test(`${family}: probes of the node itself reach strict pods`, async () => {
        assert.equal(await rig.ask("node-1", "pod-1-1", family), "pod-1-1");
        assert.equal(await rig.ask("node-1", "pod-1-1", family, { protocol: "udp" }), "pod-1-1");
      });

      test(`${family}: a strict pod hears the answers to what it asks`, async () => {
        assert.equal(await rig.ask("pod-1-1", "pod-2-2", family), "pod-2-2");
        assert.equal(await rig.ask("pod-1-1", "pod-2-2", family, { protocol: "udp" }), "pod-2-2");
      });
    }

    if (cni === "bridge") {
      test("on its bridge nothing reaches a strict pod that is addressed to no pod", async () => {
        const { closed } = await rig.agent.call("counts", {});
        const from = { mac: "02:71:00:00:01:02", ...rig.pod("pod-1-2").addresses };
        for (const [to, mac] of [
          ["10.71.1.255", "ff:ff:ff:ff:ff:ff"],
          ["224.0.0.251", "01:00:5e:00:00:fb"],
          ["fe80::2", "02:71:00:00:01:01"],
          ["ff02::1", "33:33:00:00:00:01"],
        ] as const) {
          const addresses = { from: to.includes(":") ? from.ip6 : from.ip, to };
          await rig.sendFrame("pod-1-2", udpFrame({ from: from.mac, to: mac }, addresses));
        }
        const all = async () => (await rig.agent.call("counts", {})).closed === closed + 4;
        await until("four drops", all);
      });
    }

    test("without a worker calls fail to strict pods, and go in plaintext to others", async () => {
      await rig.killDoor();
      await rig.agent.call("tell", { word: "dead" });
      for (const family of FAMILIES) {
        assert.notEqual(await rig.ask("pod-1-2", "pod-1-1", family), "pod-1-1");
        assert.notEqual(await rig.ask("pod-1-2", "pod-2-1", family), "pod-2-1");
        assert.equal(await rig.ask("pod-1-1", "pod-1-2", family), "pod-1-2");
        assert.notEqual(await rig.ask("client", "pod-1-1", family, TUNNEL), "pod-1-1");
      }
      await rig.revive();
      for (const family of FAMILIES) {
        assert.equal(await rig.ask("pod-1-1", "pod-1-2", family), "direct");
      }
    });

    test("a connection that a dead worker had goes nowhere in plaintext", async () => {
      const address = rig.pod("pod-1-2").addresses.ip;
      const open = await rig.served.probe("pod-1-1").open(address, APPLICATION_PORT);
      assert(open.kind === "open", JSON.stringify(open));
      assert.equal(open.greeting.echo?.pod, "direct");
      await rig.killDoor();
      const said = await open.say("after");
      assert(said.kind === "reset" || said.kind === "closed", said.kind);
      await open.close();
      await rig.revive();
    });

    test("a killed agent leaves strict pods closed; its successor finds nothing open", async () => {
      const strict = async (): Promise<string> => rig.ask("client", "pod-1-1", "ip");
      await rig.restartAgent();
      assert.equal(await strict(), "timeout");
      const { problems } = await rig.hold(MODES);
      assert.deepEqual(problems, []);
      await rig.agent.call("tell", { word: "living" });
      assert.equal(await strict(), "timeout");
      assert.equal(await rig.ask("client", "pod-1-1", "ip", TUNNEL), "tunnel");
    });

    test("what somebody removed or emptied is back after an audit", async () => {
      const { served } = rig;
      /** Without what ticks. */
      const listed = async (): Promise<string> => {
        const list = await served.run("nft", "-s", "list", "ruleset");
        const lines = list.split("\n").filter((line) => !line.includes("{ tcp"));
        const start = lines.findIndex((line) => line.includes("innermesh-policy"));
        return lines.slice(start).toSorted().join("\n");
      };
      assert.deepEqual(await rig.agent.call("audit", {}), []);
      for (const command of [
        "delete table ip innermesh-policy",
        "flush chain netdev innermesh-policy guard",
        "flush set ip6 innermesh-policy closed",
        "flush set netdev innermesh-policy bound-ip6",
      ]) {
        const whole = await listed();
        await served.run("nft", command);
        await rig.agent.call("audit", {});
        assert.equal(await listed(), whole, command);
        assert.equal(await rig.ask("client", "pod-1-1", "ip", TUNNEL), "tunnel");
      }
    });

    test("removed, nothing of it is left", async () => {
      const tables = ["ip", "ip6", "netdev", "bridge"].map(
        (at) => `nft table ${at} innermesh-policy`,
      );
      const links = cni === "bridge" ? ["links im2, im3"] : [];
      await rig.agent.call("tell", { word: "dead" });
      assert.deepEqual(await rig.agent.call("remove", {}), [...tables, ...links]);
      assert.deepEqual(await rig.agent.call("remove", {}), []);
      assert.equal((await rig.served.run("nft", "list", "tables")).includes("policy"), false);
      await until(
        "plaintext",
        async () => (await rig.ask("client", "pod-1-1", "ip")) === "pod-1-1",
      );
    });
  });
}

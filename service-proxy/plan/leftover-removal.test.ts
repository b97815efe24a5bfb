import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIptablesSave } from "../model/iptables-save.ts";
import { type LeftoverState, planLeftoverRemoval, type RemovalPlan } from "./leftover-removal.ts";

const service = "KUBE-SVC-TCOU7JCQXEZGVUNU";
const endpoint = "KUBE-SEP-WFHCPJYAQJWBXIFD";

const natOfKubeProxy = `
*nat
:PREROUTING ACCEPT [3:180]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:${endpoint} - [0:0]
:KUBE-SERVICES - [0:0]
:${service} - [0:0]
:cali-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A ${endpoint} -p udp -m udp -j DNAT --to-destination 10.244.0.5:53
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j ${service}
-A ${service} ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p udp -j KUBE-MARK-MASQ
-A ${service} -j ${endpoint}
COMMIT
`;

function plan(text: string, more: Partial<LeftoverState> = {}): RemovalPlan {
  const tables = parseIptablesSave(text);
  const state = { iptables: [{ variant: "nft", family: "ip", tables }], ...more } as const;
  return planLeftoverRemoval(state, "when-idle");
}

function inputOf({ steps }: RemovalPlan): string {
  const step = steps.find((each) => each.kind === "iptables-restore");
  return step?.kind === "iptables-restore" ? step.input : "";
}

test("kube-proxy's chains are emptied, its jumps deleted word for word, then its chains", () => {
  assert.equal(
    inputOf(plan(natOfKubeProxy)),
    `*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:${endpoint} - [0:0]
:KUBE-SERVICES - [0:0]
:${service} - [0:0]
-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-D OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-D POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-X KUBE-MARK-MASQ
-X KUBE-POSTROUTING
-X ${endpoint}
-X KUBE-SERVICES
-X ${service}
COMMIT
`,
  );
});

test("kubelet's chains and those of network plugins are not touched", () => {
  const input = inputOf(plan(natOfKubeProxy));
  for (const name of ["KUBE-KUBELET-CANARY", "KUBE-MARK-DROP", "cali-"]) {
    assert.ok(!input.includes(name), name);
  }
  assert.equal(
    inputOf(plan("*filter\n:KUBE-FIREWALL - [0:0]\n:KUBE-ROUTER-INPUT - [0:0]\nCOMMIT\n")),
    "",
  );
});

test("a chain that somebody else jumps to stays, with what it needs to work", () => {
  const foreign = natOfKubeProxy.replace(
    "COMMIT",
    ":CNI-HOSTPORT-SETMARK - [0:0]\n-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ\nCOMMIT",
  );
  const { kept } = plan(foreign);
  assert.deepEqual(kept, [
    {
      what: "iptables (nft) chain KUBE-MARK-MASQ of table nat",
      because: "CNI-HOSTPORT-SETMARK jumps to it",
    },
    {
      what: "iptables (nft) chain KUBE-POSTROUTING of table nat",
      because: "it masquerades what KUBE-MARK-MASQ marks",
    },
  ]);
  const input = inputOf(plan(foreign));
  assert.ok(input.includes("-X KUBE-SERVICES"));
  assert.ok(!input.includes("KUBE-MARK-MASQ"));
  assert.ok(!input.includes("KUBE-POSTROUTING"));
});

test("KUBE-FORWARD stays where forwarding is refused by default", () => {
  const filter = (policy: string): string => `*filter
:FORWARD ${policy} [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
COMMIT
`;
  assert.equal(inputOf(plan(filter("DROP"))), "");
  assert.match(plan(filter("DROP")).kept[0]?.because ?? "", /FORWARD's policy is DROP/);
  assert.match(inputOf(plan(filter("ACCEPT"))), /-X KUBE-FORWARD/);
});

test("a node without leftovers gets no iptables step, and both nft tables are tried", () => {
  assert.deepEqual(plan("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), {
    steps: [
      { kind: "delete-nft-table", family: "ip" },
      { kind: "delete-nft-table", family: "ip6" },
    ],
    kept: [],
  });
});

test("kube-ipvs0 goes when no flow runs through IPVS, or when told to", () => {
  const step = { kind: "delete-link", name: "kube-ipvs0" };
  assert.deepEqual(plan("", { ipvs: { connections: 0 } }).steps.at(-1), step);
  const busy = plan("", { ipvs: { connections: 7 } });
  assert.ok(!busy.steps.some(({ kind }) => kind === "delete-link"));
  assert.deepEqual(busy.kept, [{ what: "kube-ipvs0", because: "7 flows run through IPVS" }]);
  const forced = planLeftoverRemoval({ iptables: [], ipvs: { connections: 7 } }, "now");
  assert.deepEqual(forced.steps.at(-1), step);
});

test("our tables stand first: nft tables go before chains, chains before the interface", () => {
  const kinds = plan(natOfKubeProxy, { ipvs: { connections: 0 } }).steps.map(({ kind }) => kind);
  assert.deepEqual(kinds, [
    "delete-nft-table",
    "delete-nft-table",
    "iptables-restore",
    "delete-link",
  ]);
});

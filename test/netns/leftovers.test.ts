// Taking over from kube-proxy: its rules go, those of others stay, and a connection that its rules
// translated lives on. Needs the iptables programs, both variants.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import {
  type LeftoverReport,
  removeKubeProxyLeftovers,
} from "../../service-proxy/apply/kube-proxy-leftovers.ts";
import { removeOwnTables } from "../../service-proxy/apply/own-tables.ts";
import { enterOwnNamespace, run, sh } from "./own-namespace.ts";

enterOwnNamespace();

const vip = "10.96.0.10";
const backend = "10.244.0.5";
const service = "KUBE-SVC-TCOU7JCQXEZGVUNU";
const endpoint = "KUBE-SEP-WFHCPJYAQJWBXIFD";

for (const address of [backend, "10.0.0.9"]) sh(`ip address add ${address}/32 dev lo`);
sh(`ip route add ${vip}/32 dev lo src 10.0.0.9`);

const server = createServer((socket) => socket.pipe(socket).on("error", () => {}));
server.listen(8080, backend);
await once(server, "listening");
after(() => server.close());

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables (${variant}): kube-proxy's chains go, those of others stay`, async () => {
    buildIptables(variant);
    const before = rules(variant);
    await using flow = await connectThrough();
    const knocking = keepConnecting();
    const report = await takeOver();
    assert.ok((await knocking.stop()) > 0, "every connection made meanwhile was answered");
    assert.deepEqual([report.kept, report.problems], [[], []]);
    assert.deepEqual(report.removed, [`9 chains of iptables (${variant})`]);
    const after = rules(variant);
    for (const chain of [
      "KUBE-SERVICES",
      service,
      endpoint,
      "KUBE-MARK-MASQ",
      "KUBE-PROXY-CANARY",
    ]) {
      assert.ok(before.includes(`:${chain} `) && !after.includes(chain), chain);
    }
    for (const kept of [
      "-A INPUT -j KUBE-FIREWALL",
      "-A KUBE-FIREWALL -d 127.0.0.0/8 -j DROP",
      ":KUBE-KUBELET-CANARY ",
      "-A PREROUTING -j cali-PREROUTING",
      "-A POSTROUTING -j FLANNEL-POSTRTG",
    ]) {
      assert.ok(after.includes(kept), kept);
    }
    assert.equal(await flow.ask("still there?"), "still there?");
    await using later = await connectThrough();
    assert.equal(await later.ask("and new ones?"), "and new ones?");
    clearIptables(variant);
  });

  test(`iptables (${variant}): a chain that a network plugin uses stays and works`, async () => {
    buildIptables(variant);
    sh(`iptables-${variant} -t nat -N CNI-HOSTPORT-SETMARK`);
    sh(`iptables-${variant} -t nat -A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ`);
    const report = await takeOver();
    assert.deepEqual(
      report.kept.map(({ what }) => what),
      ["KUBE-MARK-MASQ", "KUBE-POSTROUTING"].map(
        (chain) => `iptables (${variant}) chain ${chain} of table nat`,
      ),
    );
    assert.ok(rules(variant).includes("-A POSTROUTING -m comment"));
    assert.ok(!rules(variant).includes("KUBE-SERVICES"));
    clearIptables(variant);
  });
}

test("ip6tables: kube-proxy's chains go as well", async () => {
  for (const variant of ["nft", "legacy"]) {
    sh(`ip6tables-${variant} -t nat -N KUBE-SERVICES`);
    sh(`ip6tables-${variant} -t nat -A PREROUTING -j KUBE-SERVICES`);
  }
  const { removed, problems } = await takeOver();
  assert.deepEqual(problems, []);
  assert.deepEqual(removed, ["1 chains of ip6tables (nft)", "1 chains of ip6tables (legacy)"]);
  sh("nft delete table ip6 nat");
});

test("nftables: kube-proxy's tables go, others stay, and a connection lives on", async () => {
  for (const family of ["ip", "ip6"]) sh(`nft add table ${family} kube-proxy`);
  sh("nft add table inet somebody-else");
  dnatTable("kube-proxy");
  await using flow = await connectThrough();
  const report = await takeOver();
  assert.deepEqual(report.removed, ["nft table ip kube-proxy", "nft table ip6 kube-proxy"]);
  assert.deepEqual(tables(), ["table inet somebody-else", "table ip innermesh"]);
  assert.equal(await flow.ask("still there?"), "still there?");
  await using later = await connectThrough();
  assert.equal(await later.ask("and new ones?"), "and new ones?");
});

test("a node without leftovers is left as it is, and no table appears on it", async () => {
  const before = sh("nft list ruleset");
  const report = await takeOver();
  assert.deepEqual(report, { removed: [], kept: [], problems: [] });
  assert.equal(sh("nft list ruleset"), before);
});

test("cleaning up leaves no table of ours, and kube-proxy's rules serve again", async () => {
  const kernel = await openNetlinkKernel({ thread: "here" });
  assert.deepEqual(await removeOwnTables(kernel), ["nft table ip innermesh"]);
  await kernel.close();
  assert.deepEqual(tables(), ["table inet somebody-else"]);
  sh("nft add table ip kube-proxy");
  dnatTable("kube-proxy");
  await using flow = await connectThrough();
  assert.equal(await flow.ask("hello"), "hello");
});

function tables(): readonly string[] {
  return sh("nft list tables").trim().split("\n").sort();
}

/** As the node role does it: our table stands first. */
async function takeOver(): Promise<LeftoverReport> {
  sh("nft add table ip innermesh");
  sh("nft flush table ip innermesh");
  dnatTable("innermesh");
  const kernel = await openNetlinkKernel({ thread: "here" });
  try {
    return await removeKubeProxyLeftovers(kernel);
  } finally {
    await kernel.close();
  }
}

function dnatTable(table: string): void {
  run("nft", `add chain ip ${table} out { type nat hook output priority -100; }`);
  run("nft", `add chain ip ${table} post { type nat hook postrouting priority 100; }`);
  sh(`nft add rule ip ${table} out ip daddr ${vip} tcp dport 80 dnat to ${backend}:8080`);
}

/** What kube-proxy, kubelet and two network plugins write, cut down to one Service. */
function buildIptables(variant: "nft" | "legacy"): void {
  const portals = ["-m", "comment", "--comment", "kubernetes service portals"];
  const add = (table: string, ...args: readonly string[]): void =>
    void run(`iptables-${variant}`, "-w", "-t", table, ...args);
  const chains = ["KUBE-SERVICES", service, endpoint, "KUBE-MARK-MASQ", "KUBE-POSTROUTING"];
  for (const chain of [...chains, "KUBE-MARK-DROP", "KUBE-KUBELET-CANARY", "cali-PREROUTING"]) {
    add("nat", "-N", chain);
  }
  add("nat", "-N", "FLANNEL-POSTRTG");
  for (const chain of ["KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL", "KUBE-FIREWALL"]) {
    add("filter", "-N", chain);
  }
  add("mangle", "-N", "KUBE-PROXY-CANARY");
  add("nat", "-A", "PREROUTING", "-j", "cali-PREROUTING");
  add("nat", "-A", "PREROUTING", ...portals, "-j", "KUBE-SERVICES");
  add("nat", "-A", "OUTPUT", ...portals, "-j", "KUBE-SERVICES");
  add(
    "nat",
    "-A",
    "POSTROUTING",
    "-m",
    "comment",
    "--comment",
    'say "-j"',
    "-j",
    "KUBE-POSTROUTING",
  );
  add("nat", "-A", "POSTROUTING", "-j", "FLANNEL-POSTRTG");
  add(
    "nat",
    "-A",
    "KUBE-POSTROUTING",
    "-m",
    "mark",
    "!",
    "--mark",
    "0x4000/0x4000",
    "-j",
    "RETURN",
  );
  add("nat", "-A", "KUBE-POSTROUTING", "-j", "MASQUERADE");
  add("nat", "-A", "KUBE-MARK-MASQ", "-j", "MARK", "--set-xmark", "0x4000/0x4000");
  const toVip = ["-d", `${vip}/32`, "-p", "tcp", "-m", "tcp", "--dport", "80"];
  add("nat", "-A", "KUBE-SERVICES", ...toVip, "-j", service);
  add("nat", "-A", service, "!", "-s", "10.0.0.0/8", "-j", "KUBE-MARK-MASQ");
  add("nat", "-A", service, "-j", endpoint);
  add("nat", "-A", endpoint, "-p", "tcp", "-j", "DNAT", "--to-destination", `${backend}:8080`);
  add("filter", "-A", "INPUT", "-j", "KUBE-NODEPORTS");
  add("filter", "-A", "FORWARD", "-j", "KUBE-PROXY-FIREWALL");
  add("filter", "-A", "FORWARD", "-j", "KUBE-FORWARD");
  add("filter", "-A", "INPUT", "-j", "KUBE-FIREWALL");
  add("filter", "-A", "KUBE-FIREWALL", "-d", "127.0.0.0/8", "-j", "DROP");
}

function rules(variant: "nft" | "legacy"): string {
  return sh(`iptables-${variant}-save`);
}

function clearIptables(variant: "nft" | "legacy"): void {
  for (const table of ["nat", "filter", "mangle"]) {
    for (const verb of ["-F", "-X"]) sh(`iptables-${variant} -t ${table} ${verb}`);
    if (variant === "nft") sh(`nft delete table ip ${table}`);
  }
}

interface Connection extends AsyncDisposable {
  /** Sends text through the connection and resolves with the answer. */
  ask(text: string): Promise<string>;
}

/** A TCP connection to the Service; the backend echoes. */
async function connectThrough(): Promise<Connection> {
  const socket = connect({ host: vip, port: 80, localAddress: "10.0.0.9" });
  await once(socket, "connect", { signal: AbortSignal.timeout(2_000) });
  return {
    async ask(text) {
      socket.write(text);
      const [answer] = await once(socket, "data", { signal: AbortSignal.timeout(2_000) });
      return String(answer);
    },
    async [Symbol.asyncDispose]() {
      socket.destroy();
    },
  };
}

/** Opens one connection after the other and asks through each. */
function keepConnecting(): { stop(): Promise<number> } {
  let running = true;
  const knock = async (): Promise<number> => {
    let answered = 0;
    while (running) {
      await using connection = await connectThrough();
      assert.equal(await connection.ask("anybody?"), "anybody?");
      answered++;
    }
    return answered;
  };
  const ended = knock();
  return {
    async stop() {
      running = false;
      return ended;
    },
  };
}

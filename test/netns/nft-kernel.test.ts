// The real doors to nf_tables, in a network namespace of this process alone. Needs root and nft.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { arbitrarySet, type FilledSet } from "../../lib/nft/sample-arbitrary.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { kernelContract } from "../../lib/nft/kernel-contract.ts";
import { openCommandKernel } from "../../lib/nft/nft-command.ts";
import type { Change, Family, NftKernel } from "../../lib/nft/objects.ts";
import { sampleRuleset, withoutRemember } from "../../lib/nft/sample-ruleset.ts";
import { formatTransaction } from "../../lib/nft/text.ts";
import { CLONE_NEWNET, unshare } from "../../lib/sys/ffi.ts";

const TABLE = "innermesh";

// Sockets, worker threads and children made from here on belong to the new namespace.
unshare(CLONE_NEWNET);

kernelContract("nfnetlink in a worker thread", () => openNetlinkKernel());
kernelContract("nfnetlink on this thread", openHere);
kernelContract("the nft program", () => openCommandKernel());

for (const family of ["ip", "ip6"] as const) {
  test(`${family}: both doors make the same table, as nft sees it`, async () => {
    const ruleset = withoutRemember(sampleRuleset(family, TABLE));
    const listings: { json: unknown; text: string[] }[] = [];
    for (const open of [openNetlinkKernel, openCommandKernel]) {
      await withKernel(open, async (kernel) => {
        await kernel.commit([ruleset]);
        listings.push({ json: listJson(family), text: listText(family) });
      });
    }
    const [byNetlink, byCommand] = listings;
    assert.deepEqual(byNetlink, byCommand);
  });

  test(`${family}: nft accepts the text of the whole table`, () => {
    withScript(formatTransaction(sampleRuleset(family, TABLE)), (path) => nft("-c", "-f", path));
  });

  test(`${family}: a door that never saw the sets asks which of them hold intervals`, async () => {
    const { changes } = sampleRuleset(family, TABLE);
    await withKernel(openNetlinkKernel, async (maker) => {
      await maker.commit([sampleRuleset(family, TABLE)]);
      const before = await maker.readRules(family, TABLE);
      const flush = [...before.keys()].map((chain): Change => ({ kind: "flush-chain", chain }));
      const rules = changes.filter(({ kind }) => kind === "add-rule");
      const stranger = await openNetlinkKernel({ thread: "here" });
      await stranger.commit([{ family, table: TABLE, changes: [...flush, ...rules] }]);
      assert.deepEqual(await stranger.readRules(family, TABLE), before);
      await stranger.close();
    });
  });

  test(`${family}: lists of intervals are printed as written, however long`, async () => {
    const [low, high, host, many] =
      family === "ip"
        ? ["10.0.0.1-10.0.0.6", "192.168.0.7-255.255.255.255", "10.9.0.1", "172.16"]
        : ["fd00::1-fd00::6", "fd09::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd01::1", "fd02:"];
    const long = Array.from({ length: 900 }, (_, i) =>
      family === "ip" ? `${many}.${i >> 7}.${(i & 127) * 2}` : `${many}:${(i * 2).toString(16)}`,
    ).map((address) => (address.endsWith(":0") ? `${many}:` : address));
    const key = [{ kind: "field", field: "saddr" }] as const;
    const ports = [
      { kind: "field", field: "meta l4proto" },
      { kind: "field", field: "th dport" },
    ] as const;
    const lists = [
      { kind: "in-list", key, elements: [low, host, high] },
      { kind: "in-list", key, elements: long },
      { kind: "in-list", key: ports, elements: ["tcp . 80-90", "udp . 53"] },
      { kind: "in-list", key: ports, elements: ["sctp . 0-65535"] },
    ] as const;
    const rules = lists.map((match): Change => ({ kind: "add-rule", chain: "c", rule: [match] }));
    await withKernel(openNetlinkKernel, async (kernel) => {
      const chain: Change = { kind: "add-chain", chain: { name: "c" } };
      const changes = [{ kind: "add-table" } as const, chain, ...rules];
      await kernel.commit([{ family, table: TABLE, changes }]);
      const printed = nft("list", "chain", family, TABLE, "c").replaceAll(/\s+/g, " ");
      for (const { elements } of lists) {
        const [first = ""] = elements;
        assert(printed.includes(first), `${first} in ${printed.slice(0, 400)}`);
      }
      const listed = printed.match(/\{ [^{}]* \}/g)?.map((list) => list.split(",").length);
      assert.deepEqual(listed, [3, 900, 2, 1]);
      const contents = await kernel.read(family, TABLE);
      assert.equal(contents?.chains.get("c")?.length, 4);
      assert.equal(contents?.sets.size, 0);
    });
  });

  test(`${family}: every prefix length and its negation is printed as written`, async () => {
    const lengths = family === "ip" ? [0, 1, 7, 8, 9, 24, 31, 32] : [0, 1, 8, 9, 64, 65, 127, 128];
    const prefixes = lengths.map((length) => {
      const cidr = parseCidr(`${family === "ip" ? "173.86.173.87" : "ad56:ad57::ad58"}/${length}`);
      assert(cidr !== undefined);
      return cidr;
    });
    const rules = prefixes.map((prefix): Change => {
      const match = { kind: "prefix", field: "saddr", prefix } as const;
      return { kind: "add-rule", chain: "c", rule: [match, { ...match, negate: true }] };
    });
    await withKernel(openNetlinkKernel, async (kernel) => {
      const chain: Change = { kind: "add-chain", chain: { name: "c" } };
      await kernel.commit([
        { family, table: TABLE, changes: [{ kind: "add-table" }, chain, ...rules] },
      ]);
      const printed = listText(family).filter((line) => line.includes(" saddr "));
      const expected = prefixes.map((prefix) => {
        const text = prefix.replace(family === "ip" ? /\/32$/ : /\/128$/, "");
        return `${family} saddr ${text} ${family} saddr != ${text}`;
      });
      assert.deepEqual(printed, expected);
    });
  });
}

test("nft prints the IPv6 affinity rules that only the netlink door can make", async () => {
  await withKernel(openNetlinkKernel, async (kernel) => {
    await kernel.commit([sampleRuleset("ip6", TABLE)]);
    const lines = listText("ip6");
    const key = "ip6 saddr . meta priority & ffff:0";
    assert(lines.includes(`delete @affinity { ${key} : meta priority }`), lines.join("\n"));
    assert(lines.includes(`update @affinity { ${key} timeout 6s : meta priority }`));
  });
});

test("foreign sets read as hex, and their table reads whole", async () => {
  const script = `table ip foreign {
    set a { type ipv4_addr; elements = { 10.0.0.1 } }
    set b { type ipv4_addr; flags interval; elements = { 10.0.0.0-10.0.0.5 } }
    map c { typeof ip saddr : meta mark; elements = { 10.0.0.1 : 1 } }
    chain d { tcp dport { 80, 443 } counter accept; }
  }`;
  withScript(script, (path) => nft("-f", path));
  const contents = await withKernel(openNetlinkKernel, (kernel) => kernel.read("ip", "foreign"));
  nft("delete", "table", "ip", "foreign");
  const keys = [...(contents?.sets ?? [])].map(([set, map]) => [set, [...map.keys()]]);
  assert.deepEqual(keys, [
    ["a", ["0x0a000001"]],
    ["b", ["0x0a000000-0x0a000005"]],
    ["c", ["10.0.0.1"]],
  ]);
  assert.equal(contents?.sets.get("c")?.get("10.0.0.1")?.data, "0x01000000");
  assert.equal(contents?.chains.get("d")?.length, 1);
});

test("any elements written through netlink are read back as they were", async () => {
  await withKernel(openHere, async (kernel) => {
    const writeAndRead = async ({ family, set, elements }: FilledSet): Promise<void> => {
      const changes: Change[] = [
        { kind: "add-table" },
        { kind: "delete-table" },
        { kind: "add-table" },
        { kind: "add-chain", chain: { name: "c" } },
        { kind: "add-set", set },
        { kind: "add-elements", set, elements },
      ];
      await kernel.commit([{ family, table: TABLE, changes }]);
      const contents = await kernel.read(family, TABLE);
      const expected = new Map(elements.map((element) => [element.key, element]));
      assert.deepEqual(contents?.sets.get(set.name), expected);
      listText(family);
      const keys = elements.map(({ key }) => key);
      await kernel.commit([
        { family, table: TABLE, changes: [{ kind: "delete-elements", set, keys }] },
      ]);
      assert.equal((await kernel.read(family, TABLE))?.sets.get(set.name)?.size, 0);
    };
    await fc.assert(fc.asyncProperty(arbitrarySet(), writeAndRead), { numRuns: 50 });
  });
});

test("the first of very many refusals is named, though the kernel's answers overflow", async () => {
  await withKernel(openHere, async (kernel) => {
    const bad: Change = { kind: "add-rule", chain: "none", rule: [{ kind: "reject" }] };
    const changes: Change[] = [{ kind: "add-table" }, ...Array<Change>(60_000).fill(bad)];
    await assert.rejects(kernel.commit([{ family: "ip", table: TABLE, changes }]), {
      name: "NftError",
      code: "ENOENT",
    });
  });
});

test("a kernel without the privilege says so", async () => {
  const path = join(import.meta.dirname, "../../lib/nft/kernel.ts");
  const script = `import { openNetlinkKernel } from ${JSON.stringify(path)};
    openNetlinkKernel().catch((error) => console.log(error.name, error.code));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    uid: 65_534,
  });
  assert.equal(output.trim(), "NftError EPERM");
});

function openHere(): Promise<NftKernel> {
  return openNetlinkKernel({ thread: "here" });
}

/** Opens a door, and at the end leaves no table of ours behind. */
async function withKernel<T>(
  open: () => Promise<NftKernel>,
  body: (kernel: NftKernel) => Promise<T>,
): Promise<T> {
  const kernel = await open();
  try {
    return await body(kernel);
  } finally {
    const changes: Change[] = [{ kind: "add-table" }, { kind: "delete-table" }];
    await kernel.commit(
      (["ip", "ip6"] as const).map((family) => ({ family, table: TABLE, changes })),
    );
    await kernel.close();
  }
}

function nft(...args: string[]): string {
  return execFileSync("nft", args, { encoding: "utf8", maxBuffer: 1 << 28 });
}

function withScript(text: string, body: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "im-nft-"));
  try {
    const path = join(directory, "script.nft");
    writeFileSync(path, text);
    body(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The lines of `nft list table` without the kernel's order of elements and our GC interval. */
function listText(family: Family): string[] {
  const lines = nft("list", "table", family, TABLE).split("\n");
  return lines.map((line) => line.trim()).filter((line) => !line.startsWith("gc-interval"));
}

/** `nft -j list table` without handles, GC interval and the kernel's order of elements. */
function listJson(family: Family): unknown {
  const json: unknown = JSON.parse(nft("-j", "list", "table", family, TABLE));
  return canonical(json);
}

function canonical(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(canonical);
  if (typeof json !== "object" || json === null) return json;
  const entries = Object.entries(json)
    .filter(([name]) => name !== "handle" && name !== "gc-interval")
    .map(([name, value]) => [name, name === "elem" ? sortedElements(value) : canonical(value)]);
  return Object.fromEntries(entries);
}

function sortedElements(value: unknown): unknown {
  if (!Array.isArray(value)) return canonical(value);
  return value.map((element) => JSON.stringify(canonical(element))).sort();
}

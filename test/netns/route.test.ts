// Addresses as the kernel tells them, and its word of each change.

import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../lib/clock/system-clock.ts";
import {
  type InterfaceAddress,
  listAddresses,
  readHostAddresses,
  watchAddresses,
} from "../../lib/netlink/route.ts";
import { enterOwnNamespace, sh } from "./own-namespace.ts";

enterOwnNamespace();

test("addresses of both families are listed, on links that are down too", async () => {
  sh("ip link add im-a type veth peer name im-b");
  sh("ip address add 192.0.2.1/24 dev im-a");
  sh("ip address add fd00:1::1/64 dev im-a nodad");
  const listed = await listAddresses();
  assert.deepEqual(
    listed.filter(({ interfaceName }) => interfaceName === "im-a"),
    [
      {
        family: "ip",
        address: "192.0.2.1",
        prefixLength: 24,
        scope: "global",
        interfaceName: "im-a",
      },
      {
        family: "ip6",
        address: "fd00:1::1",
        prefixLength: 64,
        scope: "global",
        interfaceName: "im-a",
      },
    ],
  );
  assert.deepEqual(await readHostAddresses(), ["127.0.0.1", "192.0.2.1", "::1", "fd00:1::1"]);
  sh("ip link delete im-a");
});

test("more addresses than fit into one message are all listed", async () => {
  sh("ip link add im-a type veth peer name im-b");
  for (let i = 0; i < 8; i++) sh(`ip address add 198.51.100.${i}/32 dev im-a`);
  const names = Array.from({ length: 60 }, (_, i) => `im-v${i}`);
  for (const name of names) sh(`ip link add ${name} type veth peer name ${name}p`);
  sh("ip address add 203.0.113.9/32 dev im-v59");
  const listed = await listAddresses();
  assert.equal(listed.filter(({ interfaceName }) => interfaceName === "im-a").length, 8);
  assert.ok(listed.some(({ interfaceName }) => interfaceName === "im-v59"));
  for (const name of names) sh(`ip link delete ${name}`);
  sh("ip link delete im-a");
});

test("a watch reports the list at first and after each change, and ends when told", async () => {
  const stop = new AbortController();
  const seen: (readonly InterfaceAddress[])[] = [];
  let wake = (): void => {};
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const first = next();
  const ended = watchAddresses({
    clock: systemClock,
    signal: stop.signal,
    onChange: (addresses) => {
      seen.push(addresses);
      wake();
    },
    onError: assert.ifError,
  });
  await first;
  const added = next();
  sh("ip address add 192.0.2.7/32 dev lo");
  await added;
  assert.ok(seen.at(-1)?.some(({ address }) => address === "192.0.2.7"));
  const removed = next();
  sh("ip address delete 192.0.2.7/32 dev lo");
  await removed;
  assert.ok(!seen.at(-1)?.some(({ address }) => address === "192.0.2.7"));
  stop.abort();
  await ended;
});

test("a burst of changes is reported by its end, in a few reports", async () => {
  const stop = new AbortController();
  let last: readonly InterfaceAddress[] = [];
  let reports = 0;
  const ended = watchAddresses({
    clock: systemClock,
    signal: stop.signal,
    onChange: (addresses) => {
      last = addresses;
      reports++;
    },
    onError: assert.ifError,
  });
  for (let i = 1; i <= 40; i++) sh(`ip address add 192.0.2.${i}/32 dev lo`);
  while (last.filter(({ address }) => address.startsWith("192.0.2.")).length < 40) {
    await systemClock.sleep(20);
  }
  assert.ok(reports < 20, `${reports} reports`);
  stop.abort();
  await ended;
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  AF_NETLINK,
  bind,
  close,
  errnoName,
  getSocketOption,
  MSG_DONTWAIT,
  pollReadable,
  recv,
  SO_SNDBUF,
  SOCK_RAW,
  SOL_SOCKET,
  SystemError,
  send,
  setSocketOption,
  socket,
} from "./ffi.ts";

const NETLINK_ROUTE = 0;
const RTM_GETLINK_DUMP = "1400000012000103010000000000000000000000";

test("errno numbers have their names", () => {
  assert.equal(errnoName(2), "ENOENT");
  assert.equal(errnoName(105), "ENOBUFS");
  assert.equal(errnoName(9_999), "errno 9999");
});

test("a failing call throws its name and errno", () => {
  assert.throws(
    () => close(1_000_000),
    (error: unknown) => {
      assert(error instanceof SystemError);
      assert.equal(error.code, "EBADF");
      assert.equal(error.message, "Cannot close: kernel returned EBADF");
      return true;
    },
  );
});

test("a netlink socket answers; an empty queue reads as undefined", () => {
  const fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    bind(fd, Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const buffer = new Uint8Array(65_536);
    assert.equal(recv(fd, buffer, MSG_DONTWAIT), undefined);
    assert.equal(pollReadable(fd, 0), false);
    send(fd, Buffer.from(RTM_GETLINK_DUMP, "hex"));
    assert.equal(pollReadable(fd, 1_000), true);
    assert((recv(fd, buffer) ?? 0) > 16);
  } finally {
    close(fd);
  }
});

test("an integer option is set and read", () => {
  const fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    setSocketOption(fd, SOL_SOCKET, SO_SNDBUF, 8_192);
    assert.equal(getSocketOption(fd, SOL_SOCKET, SO_SNDBUF), 16_384, "the kernel doubles it");
  } finally {
    close(fd);
  }
});

test("errno is the thread's own: a worker sees its failure, not ours", async () => {
  const path = new URL("./ffi.ts", import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(path)}).then(({ close, setns }) => {
      const codes = [];
      for (const call of [() => close(1_000_000), () => setns(0, 0x7fffffff)]) {
        try { call(); } catch (error) { codes.push(error.code); }
      }
      require("node:worker_threads").parentPort.postMessage(codes);
    });`,
    { eval: true },
  );
  assert.throws(() => socket(-1, 0, 0), { code: "EAFNOSUPPORT" });
  const [codes]: unknown[] = await once(worker, "message");
  assert.deepEqual(codes, ["EBADF", "EINVAL"]);
  assert.throws(() => socket(-1, 0, 0), { code: "EAFNOSUPPORT" });
});

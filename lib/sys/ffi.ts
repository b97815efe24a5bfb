// The one file that calls libc. Typed wrappers over `node:ffi`: a wrong signature there crashes the
// process, so it is written once, here. Calls are synchronous and act on the calling thread.

import ffi from "node:ffi";
import { constants } from "node:os";

const { functions: libc } = ffi.dlopen("libc.so.6", {
  socket: { arguments: ["int32", "int32", "int32"], return: "int32" },
  bind: { arguments: ["int32", "buffer", "uint32"], return: "int32" },
  send: { arguments: ["int32", "buffer", "uint64", "int32"], return: "int64" },
  recv: { arguments: ["int32", "buffer", "uint64", "int32"], return: "int64" },
  poll: { arguments: ["buffer", "uint64", "int32"], return: "int32" },
  setsockopt: {
    arguments: ["int32", "int32", "int32", "buffer", "uint32"],
    return: "int32",
  },
  getsockopt: {
    arguments: ["int32", "int32", "int32", "buffer", "buffer"],
    return: "int32",
  },
  close: { arguments: ["int32"], return: "int32" },
  unshare: { arguments: ["int32"], return: "int32" },
  setns: { arguments: ["int32", "int32"], return: "int32" },
  __errno_location: { arguments: [], return: "pointer" },
});

// errno lives per thread; each worker loads this module anew, so the address is its own.
const errnoAddress = libc.__errno_location();

/** Numbers of the Linux ABI (include/uapi); the same on x86-64 and arm64. */
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const MSG_DONTWAIT = 0x40;
export const CLONE_NEWNET = 0x40000000;

const POLLIN = 1;
const EINTR = constants.errno.EINTR;
const EAGAIN = constants.errno.EAGAIN;
const nameByErrno: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => name !== "EWOULDBLOCK") // On Linux another name of EAGAIN.
    .map(([name, number]) => [number, name]),
);

/** The name of an errno, as in `ENOENT`; `errno 999` for one that Node does not know. */
export function errnoName(errno: number): string {
  return nameByErrno.get(errno) ?? `errno ${errno}`;
}

/** A system call failed. `code` is the errno name, as in `EPERM`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  readonly errno: number;

  constructor(systemCall: string, errno: number) {
    super(`Cannot ${systemCall}: kernel returned ${errnoName(errno)}`);
    this.code = errnoName(errno);
    this.errno = errno;
  }
}

/** Opens a socket, closed on exec. @throws SystemError */
export function socket(domain: number, type: number, protocol: number): number {
  return orThrow("socket", libc.socket(domain, type | SOCK_CLOEXEC, protocol));
}

/** Binds to a raw `sockaddr`. @throws SystemError */
export function bind(fd: number, address: Uint8Array): void {
  orThrow("bind", libc.bind(fd, address, address.length));
}

/** Sends all of `bytes` as one message. @throws SystemError; retries EINTR */
export function send(fd: number, bytes: Uint8Array, flags = 0): void {
  while (Number(libc.send(fd, bytes, BigInt(bytes.length), flags)) < 0) {
    const errno = lastErrno();
    if (errno !== EINTR) throw new SystemError("send", errno);
  }
}

/**
 * Receives one message into `buffer`.
 * @returns its length in bytes; undefined when MSG_DONTWAIT is set and nothing is queued
 * @throws SystemError; retries EINTR
 */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number | undefined {
  for (;;) {
    const length = Number(libc.recv(fd, buffer, BigInt(buffer.length), flags));
    if (length >= 0) return length;
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw new SystemError("recv", errno);
  }
}

/** Blocks until `fd` can be read; false when `timeoutMs` passed first or a signal came. */
export function pollReadable(fd: number, timeoutMs: number): boolean {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fd, true);
  entry.setInt16(4, POLLIN, true);
  const ready = libc.poll(entry, 1n, timeoutMs);
  if (ready >= 0) return ready > 0;
  const errno = lastErrno();
  if (errno === EINTR) return false;
  throw new SystemError("poll", errno);
}

/** Sets an integer socket option. @throws SystemError */
export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  orThrow("setsockopt", libc.setsockopt(fd, level, option, int32(value), 4));
}

/** Reads an integer socket option. @throws SystemError */
export function getSocketOption(fd: number, level: number, option: number): number {
  const value = int32(0);
  orThrow("getsockopt", libc.getsockopt(fd, level, option, value, int32(4)));
  return value.getInt32(0, true);
}

/** Closes a descriptor. @throws SystemError */
export function close(fd: number): void {
  orThrow("close", libc.close(fd));
}

/** Moves the calling thread into a namespace given by descriptor. @throws SystemError */
export function setns(namespaceFd: number, kind: number): void {
  orThrow("setns", libc.setns(namespaceFd, kind));
}

/** Moves the calling thread into a new namespace, which ends with it. @throws SystemError */
export function unshare(kind: number): void {
  orThrow("unshare", libc.unshare(kind));
}

/**
 * Runs `body` in another network namespace: sockets made there belong to it for good.
 * `body` must be synchronous: only this thread moves, and it moves back at once.
 * Aborts the process when it cannot return, since every later socket would be in the wrong place.
 */
export function inNetworkNamespace<T>(namespaceFd: number, homeFd: number, body: () => T): T {
  setns(namespaceFd, CLONE_NEWNET);
  try {
    return body();
  } finally {
    if (libc.setns(homeFd, CLONE_NEWNET) !== 0) process.abort();
  }
}

function orThrow(systemCall: string, result: number): number {
  if (result < 0) throw new SystemError(systemCall, lastErrno());
  return result;
}

/** Read straight after the call: anything in between may change it. */
function lastErrno(): number {
  return ffi.getInt32(errnoAddress);
}

function int32(value: number): DataView {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  return view;
}

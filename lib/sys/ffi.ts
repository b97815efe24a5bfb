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
  capset: { arguments: ["buffer", "buffer"], return: "int32" },
  prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
  fcntl: { arguments: ["int32", "int32", "int32"], return: "int32" },
  __errno_location: { arguments: [], return: "pointer" },
});

// errno lives per thread; each worker loads this module anew, so the address is its own.
const errnoAddress = libc.__errno_location();

/** Numbers of the Linux ABI (include/uapi); the same on x86-64 and arm64. */
export const AF_NETLINK = 16;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const SO_PEERCRED = 17;
export const SO_REUSEPORT = 15;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
export const MSG_DONTWAIT = 0x40;
export const CLONE_NEWNET = 0x40000000;

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const F_SETFD = 2;
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

/**
 * The user at the other end of a UNIX socket, as of its `connect` or `listen`.
 * @throws SystemError
 */
export function peerUserId(fd: number): number {
  const credentials = new DataView(new ArrayBuffer(12)); // struct ucred: pid, uid, gid
  orThrow("getsockopt", libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, int32(12)));
  return credentials.getUint32(4, true);
}

/** Reads the first bytes of a socket option that is a structure. @throws SystemError */
export function readSocketOption(fd: number, level: number, option: number, to: Uint8Array): void {
  orThrow("getsockopt", libc.getsockopt(fd, level, option, to, int32(to.length)));
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

// What follows is called millions of times a second by the proxy's data path: no exceptions, no
// objects. A result below zero is a negated errno.

const { functions: fast } = ffi.dlopen("libc.so.6", {
  accept4: { arguments: ["int32", "buffer", "buffer", "int32"], return: "int32" },
  connect: { arguments: ["int32", "buffer", "uint32"], return: "int32" },
  listen: { arguments: ["int32", "int32"], return: "int32" },
  getsockname: { arguments: ["int32", "buffer", "buffer"], return: "int32" },
  recv: { arguments: ["int32", "buffer", "uint32", "int32"], return: "int32" },
  send: { arguments: ["int32", "buffer", "uint32", "int32"], return: "int32" },
  shutdown: { arguments: ["int32", "int32"], return: "int32" },
  epoll_create1: { arguments: ["int32"], return: "int32" },
  epoll_ctl: { arguments: ["int32", "int32", "int32", "buffer"], return: "int32" },
  epoll_wait: { arguments: ["int32", "buffer", "int32", "int32"], return: "int32" },
});

const UV_POLL = 8;
const UV_READABLE = 1;
const kept: object[] = [];
const SEND_FLAGS = 0x4040; // MSG_NOSIGNAL | MSG_DONTWAIT
const ACCEPT_FLAGS = 0o2004000; // SOCK_NONBLOCK | SOCK_CLOEXEC
const addressLength = new Uint32Array(1);

/** Accepts one connection, non-blocking and closed on exec; the peer's sockaddr is written. */
export function tryAccept(fd: number, address: Uint8Array): number {
  addressLength[0] = address.length;
  return orErrno(fast.accept4(fd, address, addressLength, ACCEPT_FLAGS));
}

/** Starts to connect: -EINPROGRESS is the usual answer. */
export function tryConnect(fd: number, address: Uint8Array): number {
  return orErrno(fast.connect(fd, address, address.length));
}

/** Writes the sockaddr of this end. */
export function tryGetSocketName(fd: number, address: Uint8Array): number {
  addressLength[0] = address.length;
  return orErrno(fast.getsockname(fd, address, addressLength));
}

/** Reads what is there, at most the buffer's length; 0 at the end of the stream. */
export function tryRecv(fd: number, buffer: Uint8Array): number {
  return orErrno(fast.recv(fd, buffer, buffer.length, MSG_DONTWAIT));
}

/** Sends as much as the kernel takes at once. */
export function trySend(fd: number, buffer: Uint8Array): number {
  return orErrno(fast.send(fd, buffer, buffer.length, SEND_FLAGS));
}

/** Sends FIN. */
export function tryShutdownWrite(fd: number): number {
  return orErrno(fast.shutdown(fd, 1));
}

export function tryListen(fd: number, backlog: number): number {
  return orErrno(fast.listen(fd, backlog));
}

export function tryBind(fd: number, address: Uint8Array): number {
  return orErrno(libc.bind(fd, address, address.length));
}

export function tryClose(fd: number): number {
  return orErrno(libc.close(fd));
}

/** Makes `tryClose` send RST instead of FIN. */
export function resetOnClose(fd: number): void {
  const linger = new Uint32Array([1, 0]); // struct linger: on, 0 seconds
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, linger, linger.byteLength);
}

/** Opens a non-blocking stream socket. @throws SystemError: descriptors ran out */
export function streamSocket(domain: number): number {
  return orThrow("socket", libc.socket(domain, SOCK_STREAM | ACCEPT_FLAGS, 0));
}

export function epollCreate(): number {
  return orThrow("epoll_create1", fast.epoll_create1(SOCK_CLOEXEC));
}

/** `event` is a struct epoll_event of this machine. */
export function epollControl(
  epoll: number,
  operation: number,
  fd: number,
  event: Uint8Array,
): number {
  return orErrno(fast.epoll_ctl(epoll, operation, fd, event));
}

/** Never waits. @returns how many events were written */
export function epollPoll(epoll: number, events: Uint8Array, maximum: number): number {
  return orErrno(fast.epoll_wait(epoll, events, maximum, 0));
}

/**
 * Calls `onReadable` from this thread's event loop whenever `fd` can be read, until closed.
 * Neither ticks nor microtasks run when it returns: it must do its work at once. What it throws is
 * thrown again from the event loop.
 */
export function watchReadable(fd: number, onReadable: () => void): { close(): void } {
  const { lib, functions: uv } = ffi.dlopen(null, {
    uv_handle_size: { arguments: ["int32"], return: "uint64" },
    uv_poll_init: { arguments: ["pointer", "pointer", "int32"], return: "int32" },
    uv_poll_start: { arguments: ["pointer", "int32", "pointer"], return: "int32" },
    uv_poll_stop: { arguments: ["pointer"], return: "int32" },
  });
  const handle = new Uint8Array(Number(uv.uv_handle_size(UV_POLL)));
  const address = ffi.getRawPointer(handle);
  const callback = lib.registerCallback(
    { arguments: ["pointer", "int32", "int32"], return: "void" },
    () => {
      try {
        onReadable();
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    },
  );
  orThrow("uv_poll_init", uv.uv_poll_init(ffi.getCurrentEventLoop(), address, fd));
  orThrow("uv_poll_start", uv.uv_poll_start(address, UV_READABLE, callback));
  // libuv holds both by address, which V8 cannot know: collected, they would still be called.
  kept.push(handle, lib);
  return { close: () => void uv.uv_poll_stop(address) };
}

function orErrno(result: number): number {
  return result < 0 ? -lastErrno() : result;
}

/**
 * Leaves this thread only these capabilities, of those it has; what it executes next cannot win
 * them back once `no_new_privs` is set, which a container's security context or we do.
 * @param mask a bit per capability, as in CAP_NET_RAW = 13
 * @throws SystemError
 */
export function keepCapabilities(mask: number): void {
  const header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
  const data = new Uint32Array([mask, mask, 0, 0, 0, 0]);
  orThrow("capset", libc.capset(header, data));
}

/** Nothing executed from here on gains privileges. @throws SystemError */
export function setNoNewPrivileges(): void {
  orThrow("prctl", libc.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n));
}

/**
 * Writes no core of this process, and lets nobody read its memory but who may trace any process.
 * Ends with `execve`. @throws SystemError
 */
export function forbidDumps(): void {
  orThrow("prctl", libc.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n));
}

/** False after `forbidDumps`. @throws SystemError */
export function canBeDumped(): boolean {
  return orThrow("prctl", libc.prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n)) === 1;
}

/** Keeps a descriptor open across `execve`. @throws SystemError */
export function keepOnExec(fd: number): void {
  orThrow("fcntl", libc.fcntl(fd, F_SETFD, 0));
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

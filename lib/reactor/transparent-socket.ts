// The two ends of a transparent proxy: a listener that accepts connections to any address, and a
// dialler that connects from any address. Both carry the proxy's mark, so that the kernel's rules
// tell its sockets from others.

import type { Address } from "../ip/address.ts";
import { familyOf } from "../ip/address.ts";
import {
  errnoName,
  SO_KEEPALIVE,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_SOCKET,
  SystemError,
  setSocketOption,
  streamSocket,
  tryBind,
  tryClose,
  tryListen,
} from "../sys/ffi.ts";
import type { Reactor } from "./reactor.ts";
import { domainOf, encodeSocketAddress, type SocketAddress } from "./socket-address.ts";
import { acceptFrom, type Listener, type OnConnection } from "./tcp-listener.ts";
import type { ByteStream, StreamOwner } from "./byte-stream.ts";
import { IPPROTO_TCP, limitSilence, TcpStream } from "./tcp-stream.ts";

/** SO_MARK of every socket of the proxy: its packets are not caught again. */
export const PROXY_SOCKET_MARK = 0x800;

const IPPROTO_IP = 0;
const IP_TRANSPARENT = 19;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;

/** Below the ephemeral range: the client's own kernel never picks one of these for it. */
export const SOURCE_PORTS = { first: 10_240, last: 29_999 } as const;
const SOURCE_PORT_ATTEMPTS = 16;
const BACKLOG = 4_096;

/** A peer that vanished is found after 15 s of silence and three unanswered probes. */
const KEEP_ALIVE = { idleSeconds: 15, intervalSeconds: 5, probes: 3 } as const;

export interface ListenOptions {
  readonly address: Address;
  readonly port: number;
  readonly onConnection: OnConnection;
}

/**
 * Listens for connections that TPROXY delivers. Several processes may listen on one port: the
 * kernel spreads connections over them.
 * @throws SystemError
 */
export function listenTransparent(reactor: Reactor, options: ListenOptions): Listener {
  const { address, port, onConnection } = options;
  const fd = streamSocket(domainOf(address));
  try {
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    setSocketOption(fd, SOL_SOCKET, SO_MARK, PROXY_SOCKET_MARK);
    if (familyOf(address) === "ip6") setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setTransparent(fd, address);
    tune(fd);
    check("bind", tryBind(fd, encodeSocketAddress(address, port)));
    check("listen", tryListen(fd, BACKLOG));
  } catch (error) {
    tryClose(fd);
    throw error;
  }
  return acceptFrom(reactor, fd, onConnection);
}

export interface DialOptions {
  readonly to: SocketAddress;
  /** Where the connection came from that asks for this one; undefined where none does. */
  readonly source?: Address;
  /** The address to connect from; the node's own when undefined. */
  readonly from?: Address;
  /** A pod of this node, on whose behalf this is: it is known by where its packets entered. */
  readonly client?: Address;
}

/** Whom somebody would reach. */
export interface DialQuestion {
  readonly to: SocketAddress;
  /** As of `DialOptions`, all three. */
  readonly source: Address;
  readonly from?: Address;
  readonly client?: Address;
}

/** Opens connections. */
export interface Dialer {
  /**
   * Starts to connect; the owner hears `onOpen` or `onClosed`.
   * @returns the stream, or an errno name when it could not even start
   */
  dial(options: DialOptions, owner: StreamOwner): ByteStream | string;
  /** True when what is dialled for this client shows who it is, and may serve nobody else. */
  isPersonal(client: Address): boolean;
  /** Asked before an endpoint is chosen: the rule that forbids it; undefined where none does. */
  refusal(question: DialQuestion): string | undefined;
  /** Another number when refusals may differ: what is open has to be asked about again. */
  readonly revision: number;
}

/** Dials from any address. Remembers, per source address, which port it used last. */
export class TransparentDialer implements Dialer {
  readonly revision = 0;
  readonly #reactor: Reactor;
  readonly #random: () => number;
  readonly #nextPort = new Map<Address, number>();

  /** @param random in [0, 1) */
  constructor(reactor: Reactor, random: () => number) {
    this.#reactor = reactor;
    this.#random = random;
  }

  dial({ to, from }: DialOptions, owner: StreamOwner): TcpStream | string {
    if (from === undefined) return this.#connect(to, owner);
    // A port that another connection to this very endpoint has, here or in another worker.
    const isTaken = (result: TcpStream | string): boolean =>
      result === "EADDRNOTAVAIL" || result === "EADDRINUSE";
    let result = this.#connect(to, owner, { address: from, port: this.#takePort(from) });
    for (let i = 1; i < SOURCE_PORT_ATTEMPTS && isTaken(result); i++) {
      result = this.#connect(to, owner, { address: from, port: this.#takePort(from) });
    }
    return result;
  }

  isPersonal(): boolean {
    return false;
  }

  refusal(): undefined {}

  #connect(to: SocketAddress, owner: StreamOwner, from?: SocketAddress): TcpStream | string {
    let fd: number;
    try {
      fd = streamSocket(domainOf(to.address));
    } catch (error) {
      return error instanceof SystemError ? error.code : "EIO";
    }
    setSocketOption(fd, SOL_SOCKET, SO_MARK, PROXY_SOCKET_MARK);
    tune(fd);
    const bound = from === undefined ? 0 : bindTo(fd, from);
    if (bound < 0) {
      tryClose(fd);
      return errnoName(-bound);
    }
    const encoded = encodeSocketAddress(to.address, to.port);
    return TcpStream.connecting(this.#reactor, fd, { remote: to, encoded }, owner);
  }

  #takePort(from: Address): number {
    const { first, last } = SOURCE_PORTS;
    const count = last - first + 1;
    const next = this.#nextPort.get(from) ?? Math.floor(this.#random() * count);
    this.#remember(from, (next + 1) % count);
    return first + next;
  }

  /** Clients come and go: what is forgotten starts at a random port again. */
  #remember(from: Address, next: number): void {
    if (this.#nextPort.size >= MAXIMUM_REMEMBERED && !this.#nextPort.has(from)) {
      this.#nextPort.clear();
    }
    this.#nextPort.set(from, next);
  }
}

const MAXIMUM_REMEMBERED = 16_384;

/** @returns 0 or a negated errno */
function bindTo(fd: number, { address, port }: SocketAddress): number {
  setTransparent(fd, address);
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  return tryBind(fd, encodeSocketAddress(address, port));
}

/** What accepted sockets inherit from their listener. */
function tune(fd: number): void {
  setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setSocketOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE.idleSeconds);
  setSocketOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE.intervalSeconds);
  setSocketOption(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_ALIVE.probes);
  limitSilence(fd);
}

function setTransparent(fd: number, address: Address): void {
  if (familyOf(address) === "ip") setSocketOption(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  else setSocketOption(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
}

function check(systemCall: string, result: number): void {
  if (result < 0) throw new SystemError(systemCall, -result);
}

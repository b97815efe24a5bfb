// A netlink socket: moves bytes, knows buffers, acknowledgements and dumps, but no family's words.
// The kernel handles a request inside `send`, so its answer is queued when `send` returns.

import {
  AF_NETLINK,
  bind,
  close,
  getSocketOption,
  MSG_DONTWAIT,
  pollReadable,
  recv,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
  SystemError,
  send,
  setSocketOption,
  socket,
} from "../sys/ffi.ts";
import { decodeMessages, type Message, NLM_F_DUMP_INTR } from "./message.ts";

export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const RECEIVE_QUEUE_BYTES = 16 << 20;
/** Dumps come in chunks of at most 32 KiB; one receive never returns more than one chunk. */
const RECEIVE_BYTES = 65_536;
const ANSWER_TIMEOUT_MS = 10_000;
const ETIMEDOUT = 110;

/**
 * What a dump returned. An interrupted one saw the objects change meanwhile: it was given up at
 * once, and its socket is of no more use, since the kernel has not finished with it.
 */
export type Dump =
  | { readonly kind: "whole"; readonly payloads: readonly Uint8Array[] }
  | { readonly kind: "interrupted" };

/** An open netlink socket of one family. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #received = new Uint8Array(RECEIVE_BYTES);
  #sendBufferBytes: number;

  private constructor(fd: number) {
    this.#fd = fd;
    this.#sendBufferBytes = getSocketOption(fd, SOL_SOCKET, SO_SNDBUF);
  }

  /** Opens a socket in the calling thread's network namespace. @throws SystemError */
  static open(protocol: number): NetlinkSocket {
    const fd = socket(AF_NETLINK, SOCK_RAW, protocol);
    try {
      const address = new Uint8Array(12);
      address[0] = AF_NETLINK;
      bind(fd, address);
      // Errors become sentences, without the refused message echoed behind each.
      setSocketOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      setSocketOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_QUEUE_BYTES);
      return new NetlinkSocket(fd);
    } catch (cause) {
      close(fd);
      throw cause;
    }
  }

  /**
   * Sends messages in one piece and collects every answer that is queued afterwards.
   * The send buffer grows to the batch: netlink refuses a longer one with EMSGSIZE.
   * Answers are lost when they outgrow the queue: then those that came first are returned.
   * @throws SystemError; ENOBUFS when none was left
   */
  exchange(bytes: Uint8Array): Message[] {
    this.#discardQueued();
    this.#growSendBuffer(bytes.length);
    send(this.#fd, bytes);
    const messages: Message[] = [];
    for (;;) {
      const chunk = this.#receiveFirst();
      if (chunk === undefined) return messages;
      messages.push(...decodeMessages(chunk.slice()));
    }
  }

  /**
   * Sends one dump request and reads to its end.
   * @param interruption "accept" reads on when objects change meanwhile, whosever they are
   * @returns payloads of the answers to `sequence`, copied
   * @throws SystemError with the kernel's errno
   */
  dump(request: Uint8Array, sequence: number, interruption: "give up" | "accept"): Dump {
    this.#discardQueued();
    send(this.#fd, request);
    const payloads: Uint8Array[] = [];
    for (;;) {
      const chunk = this.#receive() ?? this.#await();
      for (const message of decodeMessages(chunk)) {
        if (message.sequence !== sequence) continue;
        const isInterrupted = (message.flags & NLM_F_DUMP_INTR) !== 0;
        if (isInterrupted && interruption === "give up") return { kind: "interrupted" };
        if (message.kind === "data") payloads.push(message.payload.slice());
        else if (message.errno !== 0) throw new SystemError("dump netlink", message.errno);
        else if (message.kind === "done") return { kind: "whole", payloads };
      }
    }
  }

  close(): void {
    close(this.#fd);
  }

  #receive(): Uint8Array | undefined {
    const length = recv(this.#fd, this.#received, MSG_DONTWAIT);
    return length === undefined ? undefined : this.#received.subarray(0, length);
  }

  /** The kernel reports lost answers before it hands out those that it kept. */
  #receiveFirst(): Uint8Array | undefined {
    try {
      return this.#receive();
    } catch (cause) {
      const lost = cause instanceof SystemError && cause.code === "ENOBUFS";
      const kept = lost ? this.#receive() : undefined;
      if (kept === undefined) throw cause;
      return kept;
    }
  }

  #await(): Uint8Array {
    if (!pollReadable(this.#fd, ANSWER_TIMEOUT_MS))
      throw new SystemError("dump netlink", ETIMEDOUT);
    return this.#receive() ?? new Uint8Array(0);
  }

  /** Drops what a request left behind that ended by an error. */
  #discardQueued(): void {
    while (this.#receive() !== undefined);
  }

  #growSendBuffer(bytes: number): void {
    const wanted = bytes + 4096;
    if (wanted <= this.#sendBufferBytes) return;
    setSocketOption(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, wanted);
    this.#sendBufferBytes = getSocketOption(this.#fd, SOL_SOCKET, SO_SNDBUF);
  }
}

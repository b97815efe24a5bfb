// A netlink dump, read part by part. The kernel makes each next part inside the read, so a reader
// that pauses holds up nothing and keeps nothing in memory.

import { Worker } from "node:worker_threads";
import {
  AF_NETLINK,
  bind,
  close,
  MSG_DONTWAIT,
  recv,
  SOCK_RAW,
  SystemError,
  send,
  setSocketOption,
  socket,
} from "../sys/ffi.ts";

const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
/** The kernel makes dump messages of at most 32 KiB, as long as there is room for one. */
const RECEIVE_BYTES = 65_536;
const THREAD_MEMORY = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 };

/** What to ask of which netlink family; the request is a whole message with the DUMP flag. */
export interface DumpOrder {
  readonly protocol: number;
  readonly request: Uint8Array;
  /** The kernel looks at every attribute of the request: without, it overlooks what it can. */
  readonly isStrict?: true;
}

/** One part of the answer, or why there is none; `code` is an errno name. */
export type DumpPart =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "failed"; readonly code: string };

export interface Dump {
  /**
   * Reads on. Call it again only after it answered, and not after the message that ends a dump.
   * @throws when the thread that reads has died
   */
  next(): Promise<DumpPart>;
  close(): Promise<void>;
}

/** Dumps on this thread, in its network namespace. @throws SystemError when there is no socket */
export function dumpHere({ protocol, request, isStrict }: DumpOrder): Dump {
  const fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  const buffer = new Uint8Array(RECEIVE_BYTES);
  try {
    const address = new Uint8Array(12);
    address[0] = AF_NETLINK;
    bind(fd, address);
    if (isStrict === true) setSocketOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    send(fd, request);
  } catch (error) {
    close(fd);
    throw error;
  }
  return {
    next: async () => readPart(fd, buffer),
    close: async () => close(fd),
  };
}

/**
 * Dumps on a thread of its own, which costs 60 ms of CPU. For tables of which most is filtered
 * out: the kernel walks past that within one system call, and would hold the event loop.
 */
export function dumpOnThread(order: DumpOrder): Dump {
  const worker = new Worker(new URL("./dump-worker.ts", import.meta.url), {
    workerData: order,
    resourceLimits: THREAD_MEMORY,
  });
  return {
    next: () =>
      new Promise<DumpPart>((resolve, reject) => {
        worker.removeAllListeners();
        worker.once("message", resolve).once("error", reject);
        worker.once("exit", (code) => reject(new Error(`Dump thread ended: exit code ${code}`)));
        worker.postMessage("next");
      }),
    close: async () => {
      worker.removeAllListeners();
      await worker.terminate();
    },
  };
}

function readPart(fd: number, buffer: Uint8Array<ArrayBuffer>): DumpPart {
  try {
    const length = recv(fd, buffer, MSG_DONTWAIT);
    if (length === undefined) return { kind: "failed", code: "no answer" };
    return { kind: "bytes", bytes: buffer.slice(0, length) };
  } catch (error) {
    if (error instanceof SystemError) return { kind: "failed", code: error.code };
    throw error;
  }
}

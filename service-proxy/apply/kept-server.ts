// Keeps one server up for as long as the process runs: an address that cannot be had is tried
// again every five seconds, as in kube-proxy, unless the user wants that to be fatal.

import type { Clock } from "../../lib/clock/clock.ts";
import type { HostPort } from "../config/host-port.ts";
import { type HttpHandler, type HttpListener, ListenError, listenHttp } from "./http-listener.ts";

export interface KeptServer {
  readonly address: HostPort;
  readonly handler: HttpHandler;
  /** Reject at the first failure instead of trying again. */
  readonly hardFail: boolean;
  readonly onListening?: (address: HostPort) => void;
  /** Called for every failed try. */
  readonly onFailure?: (error: ListenError) => void;
}

const RETRY_MS = 5_000;

/**
 * Serves until `signal` aborts, then frees the port and resolves.
 * @throws {ListenError} with `hardFail`
 */
export async function keepServing(
  server: KeptServer,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const listener = await tryListen(server);
    if (listener === undefined) {
      await clock.sleep(RETRY_MS, signal);
      continue;
    }
    server.onListening?.(listener.address);
    await aborted(signal);
    await listener.close();
  }
}

async function tryListen(server: KeptServer): Promise<HttpListener | undefined> {
  try {
    return await listenHttp(server.address, server.handler);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    server.onFailure?.(error);
    if (server.hardFail) throw error;
    return undefined;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

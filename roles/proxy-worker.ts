// A proxy worker's process. It starts twice: first it gives up every capability but the one that
// transparent sockets need and executes itself anew; then it serves what its parent plans.
// Descriptor 3 is the socket to the parent. When the parent is gone it drains and ends.

import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { Reactor } from "../lib/reactor/reactor.ts";
import { keepCapabilities, keepOnExec, setNoNewPrivileges } from "../lib/sys/ffi.ts";
import { readLines } from "../service-proxy/apply/read-lines.ts";
import type { FromWorker, ToWorker } from "../service-proxy/model/worker-messages.ts";
import type { WorkerDelta } from "../netpol-identity/plan/policy-plan.ts";
import type { WorkerTelemetry } from "../netpol-identity/proxy/policy-telemetry.ts";
import { type OpenedWorker, openWorker } from "./open-worker.ts";

const PARENT = 3;
const CAP_NET_ADMIN = 12;
const CAP_NET_RAW = 13;
const BEAT_MS = 1_000;
/** When the parent vanished: the kernel sends connections for three seconds more. */
const ORPHAN = { acceptMs: 3_500, limitMs: 600_000 };
/** A parent that is frozen reads nothing: counts wait here in their tables, not in a queue. */
const MOST_UNREAD_BYTES = 1 << 20;
const UNPRIVILEGED = "--unprivileged";

function dropPrivileges(): void {
  const held = Number.parseInt(
    /^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0",
    16,
  );
  // Either allows IP_TRANSPARENT and SO_MARK; the one that can change no rules is preferred.
  const wanted = [CAP_NET_RAW, CAP_NET_ADMIN].find((bit) => (held & (1 << bit)) !== 0);
  setNoNewPrivileges();
  keepCapabilities(wanted === undefined ? 0 : 1 << wanted);
  keepOnExec(PARENT);
  const argv = [process.execPath, ...process.execArgv, import.meta.filename, UNPRIVILEGED];
  process.execve?.(process.execPath, argv, kept(process.env));
}

/** What a worker needs of its environment: nothing that names a server or a token. */
function kept(environment: NodeJS.ProcessEnv): Record<string, string> {
  const names = ["PATH", "NODE_COMPILE_CACHE", /^MALLOC_/];
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined &&
        names.some((name) => (typeof name === "string" ? name === entry[0] : name.test(entry[0]))),
    ),
  );
}

function serve(): void {
  const parent = new Socket({ fd: PARENT });
  const reactor = new Reactor(() => performance.now());
  let parts: OpenedWorker | undefined;
  const isRead = (): boolean => parent.writable && parent.writableLength <= MOST_UNREAD_BYTES;
  const tell = (message: FromWorker): void => {
    if (isRead()) parent.write(`${JSON.stringify(message)}\n`);
  };
  const beat = (): void => {
    if (parts === undefined || !isRead()) return;
    const { worker, tunnels, policies } = parts;
    const identity: WorkerTelemetry = {
      ...(tunnels && { tunnels: tunnels.telemetry() }),
      ...(policies && { policy: policies.telemetry() }),
    };
    tell({ kind: "beat", telemetry: worker.telemetry(), identity });
  };
  let isDraining = false;
  const drain = (times: { readonly acceptMs: number; readonly limitMs: number }): void => {
    if (parts === undefined) process.exit(0);
    if (isDraining) return;
    isDraining = true;
    const { worker, tunnels } = parts;
    let busy = tunnels === undefined ? 1 : 2;
    const onIdle = (): void => {
      if (--busy > 0) return;
      beat();
      parent.end(() => process.exit(0));
    };
    worker.drain({ ...times, onClosed: () => tell({ kind: "closed" }), onIdle });
    tunnels?.drain({ ...times, onIdle });
  };
  readLines(parent, (line) => {
    const message = JSON.parse(line) as ToWorker;
    switch (message.kind) {
      case "start":
        parts = openWorker(message, reactor, tell);
        setInterval(beat, BEAT_MS);
        return tell({ kind: "listening" });
      case "identity": {
        // Of our own control process: it has this shape.
        const delta = message.delta as WorkerDelta;
        reactor.catchUp();
        if (delta.policy !== undefined) parts?.policies?.apply(delta.policy);
        parts?.tunnels?.apply(delta);
        return tell({ kind: "applied", sequence: message.sequence });
      }
      case "plan":
        // The kernel sends no more to what is gone: those it sent before are still to be served.
        reactor.catchUp();
        parts?.worker.apply(message.delta);
        return tell({ kind: "applied", sequence: message.sequence });
      case "report":
        return beat();
      case "tap":
        return parts?.worker.tap(message.id, message.filter);
      case "untap":
        return parts?.worker.untap(message.id);
      case "drain":
        return drain(message);
      default:
        return message satisfies never;
    }
  });
  parent.once("close", () => drain(ORPHAN));
  // The parent decides when a worker ends: a signal to the whole group is not for it.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => {});
}

if (process.argv.includes(UNPRIVILEGED)) serve();
else dropPrivileges();

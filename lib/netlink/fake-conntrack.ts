// A conntrack table in memory. It passes the same contract suite as the kernel's.

import type { AddressFamily } from "../ip/address.ts";
import { ConntrackError, type ConntrackTable, type FlowSelection } from "./conntrack-table.ts";
import { type ConntrackEntry, type ConntrackTuple, protocolUdp } from "./conntrack-entry.ts";

const sliceEntries = 100;

export interface FakeConntrack extends ConntrackTable {
  /** Adds a flow with an id of its own; a flow on the same original tuple is replaced. */
  add(entry: Omit<ConntrackEntry, "id">): ConntrackEntry;
  /** All flows of every protocol and family, oldest first. */
  entries(): readonly ConntrackEntry[];
  /** Lets the n-th call from now fail (1 is the next); a walk's slices count one by one. */
  failAt(call: number, code: string): void;
}

export function makeFakeConntrack(): FakeConntrack {
  const flows = new Map<string, ConntrackEntry>();
  let nextId = 1;
  let failure: { call: number; readonly code: string } | undefined;

  function count(action: string): void {
    if (failure === undefined || --failure.call > 0) return;
    const { code } = failure;
    failure = undefined;
    throw new ConntrackError(action, code);
  }

  /** No flow here has a mark. */
  async function* list(
    family: AddressFamily,
    { protocol = protocolUdp }: FlowSelection = {},
  ): AsyncGenerator<readonly ConntrackEntry[]> {
    const found = [...flows.values()].filter(
      (flow) => flow.family === family && flow.protocol === protocol,
    );
    for (let at = 0; at === 0 || at < found.length; at += sliceEntries) {
      count("list conntrack entries");
      yield found.slice(at, at + sliceEntries);
    }
  }

  return {
    list,
    async remove(entry) {
      count("remove a conntrack entry");
      const key = keyOf(entry);
      const flow = flows.get(key);
      if (flow === undefined || tupleText(flow.reply) !== tupleText(entry.reply)) return "absent";
      flows.delete(key);
      return "removed";
    },
    close() {},
    add(entry) {
      const flow = { ...entry, id: nextId++ };
      flows.delete(keyOf(flow));
      flows.set(keyOf(flow), flow);
      return flow;
    },
    entries: () => [...flows.values()],
    failAt(call, code) {
      failure = { call, code };
    },
  };
}

function keyOf({ protocol, zone, original }: ConntrackEntry): string {
  return `${protocol} ${zone} ${tupleText(original)}`;
}

function tupleText(tuple: ConntrackTuple): string {
  return `${tuple.source} ${tuple.sourcePort} ${tuple.destination} ${tuple.destinationPort}`;
}

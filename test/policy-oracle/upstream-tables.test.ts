// The hand-written tables of the upstream scenarios, as cyclonus would have them.

import assert from "node:assert/strict";
import test from "node:test";
import type { SampleFlow } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import { UpstreamWorld } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import {
  isAllowed,
  UPSTREAM_CASES,
  UPSTREAM_PODS,
  type UpstreamTable,
} from "../../netpol-identity/evaluate/upstream-cases.ts";
import { Cyclonus } from "./cyclonus.ts";

interface Cell {
  /** `x/a > x/b over TCP to 80` */
  readonly name: string;
  readonly flow: SampleFlow;
  readonly isAllowed: boolean;
}

test("cyclonus agrees with each table of the upstream scenarios, over both families", async () => {
  await using cyclonus = await Cyclonus.start();
  for (const { suite, name, steps } of UPSTREAM_CASES) {
    const world = new UpstreamWorld();
    for (const { changes, tables } of steps) {
      world.apply(changes);
      const cells = tables.flatMap(cellsOf);
      const verdicts = await cyclonus.judge(
        world.objects,
        cells.map(({ flow }) => flow),
      );
      const wrong = cells.filter(({ isAllowed: want }, at) => want !== (verdicts[at] === "+"));
      assert.deepEqual(
        wrong.map((cell) => cell.name),
        [],
        `${suite}: ${name}`,
      );
    }
  }
});

function cellsOf(table: UpstreamTable): readonly Cell[] {
  const { protocol, port } = table;
  return UPSTREAM_PODS.flatMap((client) =>
    UPSTREAM_PODS.filter((server) => server !== client).flatMap((server) =>
      (["ip", "ip6"] as const).map((family) => ({
        name: `${client.name} > ${server.name} over ${protocol} to ${port}`,
        flow: { from: client.addresses[family], to: server.addresses[family], protocol, port },
        isAllowed: isAllowed(table, client.name, server.name),
      })),
    ),
  );
}
